"""The support desk: what became of a picture, and where it is now."""
