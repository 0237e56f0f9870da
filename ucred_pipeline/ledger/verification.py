"""Verifies the history: that no entry is missing, changed or forged, and that the tables agree with it.

Each entry is chained to the one before by a hash. What the chain alone cannot show, an end that was cut
off or a table changed behind its back, shows against the states that the tables have now; a chain that
was forged anew from some entry on shows against a hash that somebody kept elsewhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from ucred_pipeline.ledger.history import BEGINNING, hash_of
from ucred_pipeline.ledger.schema import attempts, corrections, epoch_anchors, history, holds

_AT_ONCE: Final = 5000
_RAISED: Final = "raised"
_TOLD: Final = ("correction:", "attempt:", "anchor:", "hold:")

_ENTRIES: Final = select(history).order_by(history.c.sequence)
_CORRECTIONS: Final = select(corrections.c.id, corrections.c.state)
_ATTEMPTS: Final = select(attempts.c.correction, attempts.c.number, attempts.c.state)
_ANCHORS: Final = select(epoch_anchors.c.account, epoch_anchors.c.acknowledged)
_HOLDS: Final = select(holds.c.kind).where(holds.c.released.is_(None))


@dataclass(frozen=True, slots=True)
class Break:
    """Where the history first breaks, and how; `sequence` is None where a table disagrees with it."""

    sequence: int | None
    says: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What the history is: its entries, from when to when, the newest hash, and its first break."""

    entries: int
    first: datetime | None
    last: datetime | None
    head: str
    broken: Break | None


@dataclass(slots=True)
class _Walk:
    """How far the chain has been followed, and what it last told of each subject."""

    entries: int = 0
    first: datetime | None = None
    last: datetime | None = None
    head: str = BEGINNING
    awaited: str | None = None

    def verified(self, broken: Break | None) -> Verified:
        return Verified(self.entries, self.first, self.last, self.head, broken)


def verify(
    connection: Connection, expected: str | None = None, progress: Callable[[int], None] = lambda _: None
) -> Verified:
    """Follow the chain from its beginning, then hold the tables against it.

    `expected` is the hash of an entry that was the newest once: it must still be in the chain.
    """
    walk, told = _Walk(awaited=expected), dict[str, str]()
    broken = _follow(connection, walk, told, progress)
    if broken is None and walk.awaited is not None:
        broken = Break(
            None, f"no entry has the hash {expected}: the history was written anew, or is another's"
        )
    return walk.verified(broken or next(_disagreements(connection, told), None))


def _follow(
    connection: Connection, walk: _Walk, told: dict[str, str], progress: Callable[[int], None]
) -> Break | None:
    with connection.execute(_ENTRIES, execution_options={"yield_per": _AT_ONCE}) as rows:
        for row in rows:
            broken = _misfit(row, walk)
            if broken is not None:
                return broken
            walk.entries, walk.head, walk.last = row.sequence, row.hash, row.at
            walk.first = walk.first or row.at
            walk.awaited = None if walk.awaited == row.hash else walk.awaited
            if row.subject.startswith(_TOLD):
                told[row.subject] = row.event
            if row.sequence % _AT_ONCE == 0:
                progress(row.sequence)
    return None


def _misfit(row: Row[Any], walk: _Walk) -> Break | None:
    """Say why an entry does not follow from the ones before it."""
    wanted, found = walk.entries + 1, row.sequence
    if found != wanted:
        return Break(wanted, f"entry {wanted} is missing; the next one is {found}")
    if row.previous != walk.head:
        return Break(found, f"entry {found} is not chained to the one before it")
    if row.hash != hash_of(found, row.at, row.actor, row.subject, row.event, row.detail, row.previous):
        return Break(found, f"entry {found} was changed after it was written")
    return None


def _disagreements(connection: Connection, told: dict[str, str]) -> Iterator[Break]:
    """Find what the tables say and the history does not, and the other way round."""
    present = dict(_states(connection))
    for subject, state in present.items():
        if told.get(subject) != state:
            last = told.get(subject, "nothing")
            yield Break(None, f"{subject} is {state}, and the history last told of {last}")
    for subject, event in told.items():
        if subject not in present and not (subject.startswith("hold:") and event != _RAISED):
            yield Break(None, f"the history last told that {subject} is {event}, and it is not there")


def _states(connection: Connection) -> Iterator[tuple[str, str]]:
    for row in connection.execute(_CORRECTIONS):
        yield f"correction:{row.id}", row.state
    for name, number, state in connection.execute(_ATTEMPTS):
        yield f"attempt:{name}.{number}", state
    for account, acknowledged in connection.execute(_ANCHORS):
        yield f"anchor:{account}", "sending" if acknowledged is None else "acknowledged"
    for kind in connection.execute(_HOLDS).scalars():
        yield f"hold:{kind}", _RAISED
