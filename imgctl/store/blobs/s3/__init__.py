"""The store that is a bucket of S3, or of what speaks its protocol."""
