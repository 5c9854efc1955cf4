"""Tests of what deploy/ and the distribution hold."""
