"""The words and the rules: pure functions and values, without I/O, Dagster or SQL."""
