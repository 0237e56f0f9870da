"""What asks for open breaks or the newest runs is answered by an index alone, and sorts nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_OPEN_BREAKS = {
    "ix_breaks_open_by_age": ["first_seen", "id", "resolved"],
    "ix_breaks_open_by_kind": ["kind", "first_seen", "id", "resolved"],
}


def upgrade() -> None:
    """Index the runs by job and by end; SQLite preferred the index that goes to those of the open breaks.

    SQLite 3.40 reads the row for the condition of a partial index unless the index has its column.
    """
    op.drop_index("ix_breaks_resolved", table_name="breaks")
    is_open = sa.text("resolved IS NULL")
    for name, columns in _OPEN_BREAKS.items():
        op.drop_index(name, table_name="breaks")
        op.create_index(name, "breaks", columns, sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_runs_job", "runs", ["job", "began"])
    op.create_index("ix_runs_finished", "runs", ["finished"])
