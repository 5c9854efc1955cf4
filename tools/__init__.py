"""Programs for who works on imgctl."""
