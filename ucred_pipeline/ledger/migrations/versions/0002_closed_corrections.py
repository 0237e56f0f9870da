"""A correction that an epoch closed is no credit of its purchase any more: both kinds may be closed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INDEX = "uq_corrections_one_for_a_purchase"
_ENDED = "NOT state IN ('cancelled', 'epoch_closed', 'refused', 'superseded')"


def upgrade() -> None:
    """Leave closed corrections out of the index that allows a purchase one credit in an epoch."""
    op.drop_index(_INDEX, table_name="corrections")
    op.create_index(
        _INDEX,
        "corrections",
        ["payment_intent", "epoch"],
        unique=True,
        sqlite_where=sa.text(_ENDED),
        postgresql_where=sa.text(_ENDED),
    )
