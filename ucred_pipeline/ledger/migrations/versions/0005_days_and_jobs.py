"""Days that must be asked for again, and which job a run was of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table of days, and the job of each run; the runs so far were reconciliations."""
    op.create_table(
        "reconciliation_days",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("changed", sa.BigInteger()),
        sa.Column("reconciled", sa.BigInteger()),
        sa.Column("failed", sa.BigInteger()),
        sa.Column("failure", sa.String(32)),
        sa.PrimaryKeyConstraint("day", name="pk_reconciliation_days"),
    )
    op.add_column(
        "runs", sa.Column("job", sa.String(64), nullable=False, server_default=sa.text("'reconciliation'"))
    )
