"""Dated price cards and exact cost arithmetic; no other package contains prices."""
