"""Tests that variants are upright, have the right colours, and contain no metadata."""
