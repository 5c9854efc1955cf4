"""Telling others that images ended: those who wait here, and an application's webhook."""
