"""What the catalog's databases, its schema and its channels are called."""

POSTGRES = "postgresql"
SQLITE = "sqlite"
HEAD = "0002"
"""The newest migration."""
WORK_CHANNEL = "imgctl_work"
ENDED_CHANNEL = "imgctl_ended"
