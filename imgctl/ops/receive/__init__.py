"""Taking in one image at a time, from whoever sends it: promise, bytes, confirm."""
