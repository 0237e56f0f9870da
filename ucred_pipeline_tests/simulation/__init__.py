"""A deterministic simulation: the engine and the real ledger in a world in which everything goes wrong."""
