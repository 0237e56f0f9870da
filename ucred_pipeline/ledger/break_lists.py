"""The open breaks as people look through them: by kind and age, sorted, a page at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    and_,
    func,
    or_,
    select,
    true,
    type_coerce,
)

from ucred_pipeline.ledger.breaks import KINDS, Break, break_of, joined
from ucred_pipeline.ledger.schema import breaks, purchases


class AgeBand(StrEnum):
    """How long a break has been open."""

    since: timedelta
    until: timedelta | None
    text: str
    short: str

    def __new__(cls, value: str, hours: tuple[int, int | None], text: str, short: str) -> Self:
        """Keep the bounds and the words beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.since = timedelta(hours=hours[0])
        member.until = None if hours[1] is None else timedelta(hours=hours[1])
        member.text, member.short = text, short
        return member

    UNDER_1H = "under-1h", (0, 1), "under 1 h", "< 1 h"
    UNDER_4H = "1h-4h", (1, 4), "1 to 4 h", "1-4 h"
    UNDER_1D = "4h-24h", (4, 24), "4 to 24 h", "4-24 h"
    UNDER_3D = "1d-3d", (24, 72), "1 to 3 d", "1-3 d"
    OVER_3D = "over-3d", (72, None), "over 3 d", "> 3 d"


class BreakOrder(StrEnum):
    """By what the breaks are sorted."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """Keep the words beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    OLDEST = "oldest", "oldest first"
    NEWEST = "newest", "newest first"
    KIND = "kind", "by kind"
    AMOUNT = "amount", "largest amount first"


@dataclass(frozen=True, slots=True)
class BreakFilter:
    """Which of the open breaks are looked at."""

    kind: str | None = None
    band: AgeBand | None = None


@dataclass(frozen=True, slots=True)
class BreakPage:
    """Some breaks, how many there are, and after which the next page begins."""

    breaks: Sequence[Break]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class OpenBreaks:
    """The open breaks of a kind: how many in each band of age, and when the oldest was found."""

    kind: str
    by_band: dict[AgeBand, int]
    oldest: datetime | None

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.by_band.values())


def breaks_by_age(connection: Connection, now: datetime) -> dict[str, OpenBreaks]:
    """Count the open breaks of each kind in each band of age; all of the kinds are named."""
    bands = [func.count().filter(_is_in(band, now)) for band in AgeBand]
    chosen = (
        select(breaks.c.kind, func.min(breaks.c.first_seen), *bands)
        .where(breaks.c.resolved.is_(None))
        .group_by(breaks.c.kind)
    )
    none = dict.fromkeys(AgeBand, 0)
    found = {kind: OpenBreaks(kind, none, None) for kind in KINDS}
    for kind, oldest, *counts in connection.execute(chosen):
        found[kind] = OpenBreaks(kind, dict(zip(AgeBand, counts, strict=True)), oldest)
    return found


def page_of_breaks(  # noqa: PLR0913, PLR0917 - what a list is asked for
    connection: Connection,
    wanted: BreakFilter,
    order: BreakOrder,
    after: str | None,
    size: int,
    now: datetime,
) -> BreakPage:
    """Read a page of the open breaks that begins after a cursor that the page before gave."""
    matches = _matches(wanted, now)
    counting = select(func.count()).select_from(breaks).where(matches)
    keys = _KEYS[order]
    begins = _after(keys, _read_cursor(keys, after))
    chosen = joined().add_columns(*(key.expression for key in keys)).where(matches, begins)
    ordered = chosen.order_by(*(key.expression.desc() if key.falls else key.expression for key in keys))
    rows = connection.execute(ordered.limit(size + 1)).all()
    more = len(rows) > size
    cursor = "~".join(str(value) for value in rows[size - 1][-len(keys) :]) if more else None
    total = connection.execute(counting).scalar_one()
    return BreakPage([break_of(row) for row in rows[:size]], total, cursor)


def breaks_that_match(connection: Connection, wanted: BreakFilter, now: datetime) -> list[Break]:
    """Read all of the open breaks that are looked at, the oldest first."""
    chosen = joined().where(_matches(wanted, now)).order_by(breaks.c.first_seen, breaks.c.id)
    return [break_of(row) for row in connection.execute(chosen)]


def _matches(wanted: BreakFilter, now: datetime) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [breaks.c.resolved.is_(None)]
    if wanted.kind is not None:
        conditions.append(breaks.c.kind == wanted.kind)
    if wanted.band is not None:
        conditions.append(_is_in(wanted.band, now))
    return and_(*conditions)


def _is_in(band: AgeBand, now: datetime) -> ColumnElement[bool]:
    """Whether a break is in a band; one that was found in the future, by a clock that is off, is young."""
    older = breaks.c.first_seen > now - band.until if band.until else None
    younger = breaks.c.first_seen <= now - band.since if band is not AgeBand.UNDER_1H else None
    return and_(*(condition for condition in (older, younger) if condition is not None))


@dataclass(frozen=True, slots=True)
class _Key:
    """One of the things that breaks are sorted by."""

    expression: ColumnElement[Any]
    is_number: bool = False
    falls: bool = False


_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FOUND: Final = type_coerce(breaks.c.first_seen, BigInteger)
#: Digits sort as numbers do where the longer ones come first.
_AMOUNT: Final = type_coerce(purchases.c.entitlement, String)
_KEYS: Final = {
    BreakOrder.OLDEST: (_Key(_FOUND, is_number=True), _Key(breaks.c.id)),
    BreakOrder.NEWEST: (_Key(_FOUND, is_number=True, falls=True), _Key(breaks.c.id, falls=True)),
    BreakOrder.KIND: (_Key(breaks.c.kind), _Key(_FOUND, is_number=True), _Key(breaks.c.id)),
    BreakOrder.AMOUNT: (
        _Key(func.length(_AMOUNT), is_number=True, falls=True),
        _Key(_AMOUNT, falls=True),
        _Key(breaks.c.id),
    ),
}


def _read_cursor(keys: Sequence[_Key], cursor: str | None) -> list[str | int] | None:
    """Read where the page before ended; what is no cursor begins at the beginning."""
    values = (cursor or "").split("~")
    if len(values) != len(keys):
        return None
    numbers = [value for key, value in zip(keys, values, strict=True) if key.is_number]
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        return None
    return [int(value) if key.is_number else value for key, value in zip(keys, values, strict=True)]


def _after(keys: Sequence[_Key], values: Sequence[str | int] | None) -> ColumnElement[bool]:
    """Whether a break comes after the values, where the first key that differs decides."""
    if values is None:
        return true()
    places = list(zip(keys, values, strict=True))
    ways = [
        and_(*(key.expression == value for key, value in places[:number]), _comes_after(*places[number]))
        for number in range(len(places))
    ]
    return or_(*ways)


def _comes_after(key: _Key, value: str | int) -> ColumnElement[bool]:
    return key.expression < value if key.falls else key.expression > value
