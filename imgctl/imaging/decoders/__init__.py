"""Decoders of every format, and the order to try them in."""
