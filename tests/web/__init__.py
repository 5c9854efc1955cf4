"""The HTTP API: real clients against real servers."""
