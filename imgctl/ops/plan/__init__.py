"""Plans: what a command would do, written down with what it saw, to be looked at and applied later."""
