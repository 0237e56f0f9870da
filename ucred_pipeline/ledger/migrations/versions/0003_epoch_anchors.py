"""The anchors of epochs: credits of 1 wei of our own, by which the indexer's memory is known."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FIXED = ("account", "epoch", "run_id", "memo", "began")


def upgrade() -> None:
    """Create the table; a row is acknowledged once, and otherwise never changes."""
    op.create_table(
        "epoch_anchors",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["epoch"], ["epochs.number"], name=op.f("fk_epoch_anchors_epochs")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_epoch_anchors")),
    )
    is_acknowledged = sa.text("acknowledged IS NOT NULL")
    op.create_index(
        "uq_epoch_anchors_one_for_an_epoch",
        "epoch_anchors",
        ["epoch"],
        unique=True,
        sqlite_where=is_acknowledged,
        postgresql_where=is_acknowledged,
    )
    changed = " OR ".join(f"OLD.{name} <> NEW.{name}" for name in _FIXED)
    _refuse("UPDATE", f"OLD.acknowledged IS NOT NULL OR {changed}", "an anchor keeps what it sent")
    _refuse("DELETE", "1 = 1", "epoch_anchors keeps every row")


def _refuse(when: str, condition: str, message: str) -> None:
    name = f"epoch_anchors_{when.lower()}"
    if op.get_bind().dialect.name == "sqlite":
        then = f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    else:
        then = f"EXECUTE FUNCTION ucred_refuse('{message}')"
    op.execute(f"CREATE TRIGGER {name} BEFORE {when} ON epoch_anchors FOR EACH ROW WHEN ({condition}) {then}")
