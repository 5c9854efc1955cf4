"""Bytes in, bytes out: what a picture is (probe) and what becomes of it (render)."""
