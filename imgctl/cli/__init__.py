"""The command line: a file per command; the only package that imports click."""
