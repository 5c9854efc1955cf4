"""Taking images in, wherever they come from: promise, bytes, confirm."""
