"""Inserting blobs that already lie in the store: promise, copy, confirm."""
