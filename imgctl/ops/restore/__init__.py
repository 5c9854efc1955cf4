"""Bringing archived originals back: look, estimate, ask, wait."""
