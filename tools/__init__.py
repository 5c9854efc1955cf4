"""Programs for developers of imgctl."""
