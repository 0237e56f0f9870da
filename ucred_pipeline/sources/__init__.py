"""Readers of the outside world; each reads whole or says that it did not."""
