"""The history: every change of state, with who and why, each entry chained to the one before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

import orjson
from sqlalchemy import Connection, func, insert, select

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.ledger.schema import history
from ucred_pipeline.ledger.upsert import row_of

#: What the first entry is chained to.
BEGINNING: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened to `subject`, done by `actor`."""

    at: datetime
    actor: str
    subject: str
    event: str
    detail: Mapping[str, object]


_LAST: Final = select(history.c.sequence, history.c.hash).order_by(history.c.sequence.desc()).limit(1)
_APPENDING: Final = insert(history)


def record(connection: Connection, entry: Entry) -> None:
    """Append an entry, in the transaction of the change that it tells."""
    last = connection.execute(_LAST).first()
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, BEGINNING)
    detail = orjson.dumps(entry.detail, option=orjson.OPT_SORT_KEYS).decode()
    hashed = hash_of(sequence, entry.at, entry.actor, entry.subject, entry.event, detail, previous)
    row = row_of(entry) | {"sequence": sequence, "detail": detail, "previous": previous, "hash": hashed}
    connection.execute(_APPENDING, row)


def told_of(connection: Connection, *subjects: str) -> list[Entry]:
    """Give the entries about the subjects, oldest first."""
    rows = connection.execute(
        select(history).where(history.c.subject.in_(subjects)).order_by(history.c.sequence)
    )
    return [Entry(row.at, row.actor, row.subject, row.event, orjson.loads(row.detail)) for row in rows]


def length(connection: Connection) -> int:
    """How many entries there are."""
    return connection.execute(select(func.count()).select_from(history)).scalar_one()


def hash_of(  # noqa: PLR0913, PLR0917 - the fields of an entry, in the order in which they are hashed
    sequence: int, at: datetime, actor: str, subject: str, event: str, detail: str, previous: str
) -> str:
    """Hash an entry: SHA-256 of the JSON list of its number, microseconds, texts and the hash before it."""
    told = [sequence, to_micros(at), actor, subject, event, detail, previous]
    return sha256(orjson.dumps(told)).hexdigest()
