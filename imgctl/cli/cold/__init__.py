"""Commands that move originals between storage classes."""
