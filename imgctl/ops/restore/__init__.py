"""Bringing archived originals back: look up, estimate, request, wait."""
