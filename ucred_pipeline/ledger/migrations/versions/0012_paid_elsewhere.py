"""Which of the accounts left is only of Stripe's address; all is looked at again, by new rules."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column, and mark every payment and account."""
    op.add_column(
        "accounts_left", sa.Column("at_stripe", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute(
        "INSERT INTO dirty_payments (payment_intent) SELECT payment_intent FROM payments "
        "WHERE payment_intent NOT IN (SELECT payment_intent FROM dirty_payments)"
    )
    op.execute(
        "INSERT INTO dirty_groups (judged_with) SELECT DISTINCT judged_with FROM purchases "
        "WHERE judged_with NOT IN (SELECT judged_with FROM dirty_groups)"
    )
