"""Runs the migrations on the connection that the ledger hands over, in its transaction."""

from alembic import context

from ucred_pipeline.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
