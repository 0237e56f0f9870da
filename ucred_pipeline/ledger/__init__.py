"""The pipeline's own database: its schema, its migrations, and every transaction on it."""
