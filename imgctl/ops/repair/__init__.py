"""Repairing what an audit found: looked at again at the moment of acting, dry unless told otherwise."""
