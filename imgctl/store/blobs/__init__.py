"""Where the bytes are: one protocol for blobs and their storage classes, over a directory or a bucket."""
