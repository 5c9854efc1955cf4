"""Tests of transitions below the command line."""
