"""Statements on the tables, one module for each subject."""
