"""Ingest of images from any source: promise a row, put the bytes, confirm the row."""
