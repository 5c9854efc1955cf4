"""The HTTP API: the same operations for applications and browsers; the only place that knows the framework."""
