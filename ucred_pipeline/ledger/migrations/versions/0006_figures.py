"""What the page and /metrics ask for at a million purchases: how each mint went, counters, indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_PARTIAL = (
    ("ix_purchases_mints", "purchases", ["issued", "minted", "arrived"], "minted IS NOT NULL"),
    ("ix_breaks_open_by_age", "breaks", ["first_seen", "id"], "resolved IS NULL"),
    ("ix_breaks_open_by_kind", "breaks", ["kind", "first_seen", "id"], "resolved IS NULL"),
)
_WHOLE = (
    (
        "ix_purchases_tallies",
        "purchases",
        ["verdict", "entitlement", "payment_known", "succeeded", "issued_rows", "minted"],
    ),
    ("ix_purchases_account", "purchases", ["account"]),
    ("ix_payments_status", "payments", ["status", "payment_intent"]),
    ("ix_payments_receipt_email", "payments", ["receipt_email"]),
    ("ix_payment_records_customer_email", "payment_records", ["customer_email"]),
    ("ix_issuances_namespace", "issuances", ["namespace"]),
    ("ix_issuances_customer_email", "issuances", ["customer_email"]),
    ("ix_issuances_state", "issuances", ["state"]),
    ("ix_plan_items_payment_intent", "plan_items", ["payment_intent"]),
)


def upgrade() -> None:
    """Add the columns, the counters and the indexes; the next run works the columns out for everything."""
    op.add_column("purchases", sa.Column("minted", sa.Boolean()))
    op.add_column("purchases", sa.Column("arrived", sa.BigInteger()))
    op.add_column("purchases", sa.Column("counted", sa.Boolean()))
    op.create_table(
        "mint_counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name="pk_mint_counters"),
    )
    for replaced in ("ix_purchases_issued", "ix_purchases_verdict"):
        op.drop_index(replaced, table_name="purchases")
    for name, table, columns in _WHOLE:
        op.create_index(name, table, columns)
    for name, table, columns, where in _PARTIAL:
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.execute(
        "INSERT INTO dirty_groups (judged_with) SELECT DISTINCT judged_with FROM purchases "
        "WHERE judged_with NOT IN (SELECT judged_with FROM dirty_groups)"
    )
