"""Verifying sources: whether every file of an archive is safe in the catalog and the store."""
