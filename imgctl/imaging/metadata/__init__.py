"""The metadata of image files: containers are parsed by seeking, and each kind of block has one parser."""
