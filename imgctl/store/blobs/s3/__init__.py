"""Stores in buckets of S3, or of S3-compatible servers."""
