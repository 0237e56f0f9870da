"""Finds purchases that never got their UCRED, and credits each of them once."""
