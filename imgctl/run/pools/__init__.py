"""Child processes and clusters that run tasks."""
