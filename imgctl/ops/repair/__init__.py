"""Repairs of audit findings: each is checked again just before the repair; a dry run unless `apply` is set."""
