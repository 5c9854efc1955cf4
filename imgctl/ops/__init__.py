"""What it does: one module a verb, typed in, typed out, no printing."""
