"""What people and programs are shown, from the ledger alone."""
