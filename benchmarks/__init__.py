"""Figures against what a user would do instead, side by side in one run; not part of the tests."""
