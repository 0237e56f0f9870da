"""Purchases whose payment has another address at Stripe: all are looked at again for it."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Mark every payment that has an address and is not marked."""
    op.execute(
        "INSERT INTO dirty_payments (payment_intent) SELECT payment_intent FROM payments WHERE "
        "receipt_email IS NOT NULL AND payment_intent NOT IN (SELECT payment_intent FROM dirty_payments)"
    )
