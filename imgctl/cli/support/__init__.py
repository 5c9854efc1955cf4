"""Commands that look one user's images up."""
