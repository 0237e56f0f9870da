"""Every anchor that the indexer acknowledged is kept as such, also the second one of an epoch."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Let an epoch have more: where the sender's lock was lost, two runs each sent one."""
    op.drop_index("uq_epoch_anchors_one_for_an_epoch", table_name="epoch_anchors")
