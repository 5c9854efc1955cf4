"""Insert of blobs that are already in the store: promise, copy, confirm."""
