"""What asks for the newest receipts, before each credit, is answered by an index."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Let the index of the attempts by state tell the newest of a state as well."""
    op.drop_index("ix_attempts_state", table_name="attempts")
    op.create_index("ix_attempts_state", "attempts", ["state", "began"])
