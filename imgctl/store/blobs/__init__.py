"""The blob store: one protocol, a local directory and S3 behind it."""
