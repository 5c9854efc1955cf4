"""Cold storage: storage classes, restores and lifecycle rules, which obstore does not know."""
