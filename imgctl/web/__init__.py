"""The HTTP API: the same operations for applications and browsers; the only package that uses the web framework."""
