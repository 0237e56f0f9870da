"""The page: what `ucred serve` shows to people, made on the server, from the ledger alone."""
