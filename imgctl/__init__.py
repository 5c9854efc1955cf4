"""imgctl: moves photo archives into object storage and keeps them healthy there."""

__version__ = "1.0.0rc1"
