"""imgctl: moves photo archives into object storage and keeps them healthy there."""

__version__ = "0.1.0"
