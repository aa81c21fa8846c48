"""Runs the examples of the documentation and of the public docstrings."""
