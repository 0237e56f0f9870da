"""Days of creation that must be asked for again: a verdict changed since they were read, or a run failed.

A day without a row asks for nothing. The rows are written by the transaction that judges, so that a change
by another run meanwhile is never taken for one that has been seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select, update

from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.schema import reconciliation_days
from ucred_pipeline.ledger.upsert import upsert

_c = reconciliation_days.c
_CHANGED = _c.changed.is_not(None) & or_(_c.reconciled.is_(None), _c.reconciled < _c.changed)
_FAILED = _c.failed.is_not(None) & or_(_c.reconciled.is_(None), _c.reconciled < _c.failed)


@dataclass(frozen=True, slots=True)
class OpenDay:
    """A day that must be asked for again; `failure` says how its last run ended where that is why."""

    day: str
    since: datetime
    failure: str | None


def note_changed(connection: Connection, days: Iterable[str], at: datetime) -> None:
    """Verdicts of purchases of these days have changed."""
    upsert(connection, reconciliation_days, [{"day": day, "changed": at} for day in sorted(set(days))])


def note_reconciled(connection: Connection, days: Days, at: datetime) -> None:
    """A run has read these days whole, and judged them."""
    bounds = []
    if days.since is not None:
        bounds.append(_c.day >= _key(days.since))
    if days.until is not None:
        bounds.append(_c.day < _key(days.until))
    connection.execute(update(reconciliation_days).where(*bounds).values(reconciled=at))


def note_failed(connection: Connection, days: Days, at: datetime, failure: str) -> None:
    """A run over these days ended without having judged them; one without bounds is about no day."""
    rows = [{"day": day, "failed": at, "failure": failure} for day in _each(days)]
    upsert(connection, reconciliation_days, rows)


def open_days(connection: Connection, before: str, failed_before: datetime) -> list[OpenDay]:
    """The days before one that must be asked for again.

    The oldest first, for it has waited longest, and no new one may keep it waiting; but those whose run
    failed come last, and not before a while, or a day that always fails would keep all others waiting.
    """
    wanted = (_CHANGED & ~_FAILED) | (_FAILED & (_c.failed <= failed_before))
    chosen = select(reconciliation_days).where(_c.day < before, wanted).order_by(_FAILED, _c.day)
    return _open(connection, chosen)


def failed_days(connection: Connection) -> list[OpenDay]:
    """The days whose last run failed, oldest first."""
    return _open(connection, select(reconciliation_days).where(_FAILED).order_by(_c.day))


def count_changed(connection: Connection, before: str) -> int:
    """How many days before one have changed since they were read whole."""
    counted = select(func.count()).where(_CHANGED, _c.day < before)
    return int(connection.execute(counted).scalar_one())


def _open(connection: Connection, chosen: Select[Any]) -> list[OpenDay]:
    return [_day(row) for row in connection.execute(chosen)]


def _day(row: Row[Any]) -> OpenDay:
    is_red = row.failed is not None and (row.reconciled is None or row.reconciled < row.failed)
    since = max(moment for moment in (row.changed, row.failed) if moment is not None)
    return OpenDay(row.day, since, row.failure if is_red else None)


def _each(days: Days) -> Iterator[str]:
    if days.since is None or days.until is None:
        return
    day = days.since
    while day < days.until:
        yield _key(day)
        day += timedelta(days=1)


def _key(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
