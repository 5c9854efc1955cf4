"""Permanent erasure of images, with a signed receipt, and deletion of blobs that arrive too late."""
