"""The HTTP face, asked by real clients over real servers."""
