"""Tests of where it lives."""
