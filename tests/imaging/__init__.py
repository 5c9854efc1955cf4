"""Proofs that pictures come out upright, in the right colours, and without what they should not carry."""
