"""Whether every photo that was promised is really there, whole, in the class it is paid for, and nothing is stuck."""
