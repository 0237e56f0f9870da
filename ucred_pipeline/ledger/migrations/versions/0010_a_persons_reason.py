"""The reason for which a correction changed may be a person's, as long as they write it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Lift the limit where the database keeps to it; SQLite never did."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("corrections", "reason", type_=sa.Text())
