"""Commands that bring images in."""
