"""Where it lives: rows in the catalog, bytes in the blob store."""
