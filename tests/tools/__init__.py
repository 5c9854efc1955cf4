"""Proofs that the tools find what they look for."""
