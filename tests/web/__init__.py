"""The HTTP API, asked by real clients over real servers."""
