"""Information on one image for support: its state, its links, its files."""
