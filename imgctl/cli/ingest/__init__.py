"""Commands that bring images in, and the one that verifies that they all came."""
