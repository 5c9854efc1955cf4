"""Uploading directories: promise, bytes, confirm."""
