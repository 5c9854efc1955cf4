"""Colour spaces and their conversion to sRGB."""
