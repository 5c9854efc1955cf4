"""Erasing images for good, with a proof, and taking away what arrives too late."""
