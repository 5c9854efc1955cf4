"""Commands that import images, and the one that verifies that all of them are safe."""
