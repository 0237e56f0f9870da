"""What each read of a source covered; a read that was not whole covers nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from ucred_pipeline.ledger.schema import notes, reads, sweep_windows
from ucred_pipeline.ledger.upsert import row_of, upsert

#: The note of the newest audit: `{"root", "began_us"}`.
LAST_AUDIT: Final = "last_audit"


def doubt_note(attempt: str) -> str:
    """Name the note of the balance that was seen first after a doubt could be settled."""
    return f"doubt:{attempt}"


class Source(StrEnum):
    """What is read."""

    STRIPE = "stripe"
    PAYMENTS_DATABASE = "payments_database"
    INDEXER = "indexer"
    INDEXER_LOG = "indexer_log"
    PAYMENTS_LOG = "payments_log"


#: What every run reads; the logs only where they are named.
ALWAYS_NEEDED: Final = (Source.STRIPE, Source.PAYMENTS_DATABASE, Source.INDEXER)


@dataclass(frozen=True, slots=True)
class Read:
    """One read of a source: when it began, whether it was whole, and what it covered."""

    run_id: str
    source: Source
    began: datetime
    finished: datetime
    closed: bool
    rows: int
    changed: int
    detail: Mapping[str, Any]


_NEWEST: Final = (
    select(reads).where(reads.c.source == bindparam("source")).order_by(reads.c.id.desc()).limit(1)
)
_NEWEST_CLOSED: Final = _NEWEST.where(reads.c.closed)
_NEWEST_CLOSED_OF_RUN: Final = _NEWEST_CLOSED.where(reads.c.run_id == bindparam("run_id"))
_SAVING: Final = insert(reads)
_NOTE: Final = select(notes.c.value).where(notes.c.name == bindparam("name"))


def save_read(connection: Connection, read: Read) -> None:
    """Keep what a read covered."""
    connection.execute(_SAVING, row_of(read))


def last_closed(connection: Connection, source: Source) -> Read | None:
    """The newest read of a source that was whole."""
    return _read(connection, _NEWEST_CLOSED, source=source)


def closed_read_of(connection: Connection, source: Source, run_id: str) -> Read | None:
    """The newest whole read of a source by one run; others may read the same source meanwhile."""
    return _read(connection, _NEWEST_CLOSED_OF_RUN, source=source, run_id=run_id)


def was_read_whole(connection: Connection, source: Source, since: datetime) -> bool:
    """Whether the newest read of a source was whole, and began since then."""
    newest = _read(connection, _NEWEST, source=source)
    return newest is not None and newest.closed and newest.began >= since


def _read(connection: Connection, chosen: Select[Any], **which: str) -> Read | None:
    row = connection.execute(chosen, which).mappings().first()
    if row is None:
        return None
    told = {name: row[name] for name in Read.__dataclass_fields__}
    return Read(**told | {"source": Source(row["source"])})


def closed_windows(connection: Connection, sweep_since: datetime) -> list[tuple[datetime, datetime]]:
    """The parts of an unfinished sweep of Stripe that were read whole."""
    chosen = select(sweep_windows.c.since, sweep_windows.c.until).where(
        sweep_windows.c.sweep_since == sweep_since
    )
    return [(row.since, row.until) for row in connection.execute(chosen)]


def save_window(connection: Connection, sweep_since: datetime, since: datetime, until: datetime) -> None:
    """Keep that a part of a sweep was read whole, so that a crash loses only the rest."""
    upsert(connection, sweep_windows, [{"sweep_since": sweep_since, "since": since, "until": until}])


def forget_windows(connection: Connection) -> None:
    """A sweep is finished."""
    connection.execute(delete(sweep_windows))


def note(connection: Connection, name: str) -> Any:
    """Read a note that one run left for the next; None where there is none."""
    return connection.execute(_NOTE, {"name": name}).scalar()


def leave_note(connection: Connection, name: str, value: Any) -> None:
    """Leave a note for the next run."""
    upsert(connection, notes, [{"name": name, "value": value}])
