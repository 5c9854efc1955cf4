"""What you type: one file a command; the only place that knows click."""
