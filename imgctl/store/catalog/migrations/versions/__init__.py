"""One file a revision, each only ever added to."""
