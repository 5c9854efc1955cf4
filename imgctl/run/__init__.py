"""How it runs: pools, stopping, progress and logs."""
