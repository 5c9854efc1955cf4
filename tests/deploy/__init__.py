"""Tests of deploy/ and of the distribution."""
