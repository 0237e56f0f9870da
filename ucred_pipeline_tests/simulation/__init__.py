"""A deterministic simulation: the real engine and the real ledger in a world in which everything goes wrong."""
