"""The accounts that purchases have left, about which account a person decided, and what a run has read."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Keep the first two from now on; about which account earlier decisions were is not known."""
    op.create_table(
        "accounts_left",
        sa.Column("payment_intent", sa.String(length=255), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("payment_intent", "account", name=op.f("pk_accounts_left")),
    )
    op.create_index(op.f("ix_accounts_left_account"), "accounts_left", ["account"])
    op.create_index("ix_reads_of_run", "reads", ["run_id", "source", "closed"])
    op.add_column("decisions", sa.Column("account", sa.Text(), nullable=True))
