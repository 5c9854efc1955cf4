"""Tests of imgctl.ops.cost."""
