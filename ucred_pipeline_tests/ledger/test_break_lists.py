"""The open breaks a page at a time, filtered and sorted."""

from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import Connection, update

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.verdicts import Reason, Verdict
from ucred_pipeline.ledger.break_lists import (
    AgeBand,
    BreakFilter,
    BreakOrder,
    breaks_by_age,
    breaks_that_match,
    page_of_breaks,
)
from ucred_pipeline.ledger.breaks import KINDS, Break, break_id, open_breaks, update_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.schema import breaks
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.ledger.stories import add_purchase, item

_KINDS: Final = (Verdict.LACKING, Verdict.IN_DOUBT, Verdict.UNISSUED)
_REASONS: Final = {
    Verdict.LACKING: Reason.LOG_SHOWS_NONE,
    Verdict.IN_DOUBT: Reason.CORRECTION_IN_DOUBT,
    Verdict.UNISSUED: Reason.NO_CERTIFICATE,
}
#: From each band of age some, one at the very edge, and one found by a clock that is an hour ahead.
_AGES_H: Final = (-1, 0, 0.5, 1, 2, 4, 12, 24, 48, 72, 100, 1000)


def fill(connection: Connection) -> None:
    """Open breaks of several kinds, ages and amounts."""
    for number, hours in enumerate(_AGES_H):
        verdict = _KINDS[number % len(_KINDS)]
        wanted = item(number, amount=(number % 4) * WEI_PER_UCRED * 5)
        add_purchase(connection, wanted, verdict=verdict, reason=_REASONS[verdict])
        told = {"payment_intent": wanted.payment_intent, "verdict": verdict, "reason": _REASONS[verdict]}
        update_breaks(connection, [told], NOON - timedelta(hours=hours))


def walk(connection: Connection, wanted: BreakFilter, order: BreakOrder, size: int) -> list[Break]:
    """Read page after page."""
    found: list[Break] = []
    after: str | None = None
    while True:
        page = page_of_breaks(connection, wanted, order, after, size, NOON)
        assert len(page.breaks) <= size
        found += page.breaks
        after = page.next
        if after is None:
            assert page.total == len(found)
            return found


@pytest.mark.parametrize("order", list(BreakOrder))
@pytest.mark.parametrize("size", [1, 5, 12, 50])
def test_pages_have_every_break_once(ledger: Ledger, order: BreakOrder, size: int) -> None:
    """Whatever the order and the size of a page, each break is on one page, in that order."""
    keys = {
        BreakOrder.OLDEST: lambda one: (one.first_seen, one.id),
        BreakOrder.KIND: lambda one: (one.kind, one.first_seen, one.id),
        BreakOrder.AMOUNT: lambda one: (-one.amount, one.id),
    }
    with ledger.write() as connection:
        fill(connection)
        found = walk(connection, BreakFilter(), order, size)
        everything = open_breaks(connection)

    if order is BreakOrder.NEWEST:
        assert found == sorted(everything, key=keys[BreakOrder.OLDEST], reverse=True)
    else:
        assert found == sorted(everything, key=keys[order])


@pytest.mark.parametrize("cursor", ["", "~", "nonsense", "1~2~3~4", "x~brk_1", "9" * 400 + "~brk_1"])
def test_a_cursor_that_is_none_begins_at_the_beginning(ledger: Ledger, cursor: str) -> None:
    """What somebody typed into an address changes nothing and breaks nothing."""
    with ledger.write() as connection:
        fill(connection)
        page = page_of_breaks(connection, BreakFilter(), BreakOrder.OLDEST, cursor, 3, NOON)
        first = page_of_breaks(connection, BreakFilter(), BreakOrder.OLDEST, None, 3, NOON)

    assert page == first


def test_the_matrix_counts_what_the_lists_show(ledger: Ledger) -> None:
    """Each cell of kind and age is as many as its list has, and together they are all that are open."""
    with ledger.write() as connection:
        fill(connection)
        closed = update(breaks).where(breaks.c.id == break_id("pi_3", Verdict.LACKING))
        connection.execute(closed.values(resolved=NOON, resolution="credited"))
        matrix = breaks_by_age(connection, NOON)
        cells = {
            (kind, band): len(breaks_that_match(connection, BreakFilter(kind, band), NOON))
            for kind in KINDS
            for band in AgeBand
        }
        everything = open_breaks(connection)

    assert {(kind, band): n for kind, o in matrix.items() for band, n in o.by_band.items()} == cells
    assert sum(cells.values()) == len(everything) == len(_AGES_H) - 1
    assert all(any(count for (_, band), count in cells.items() if band is wanted) for wanted in AgeBand)
    oldest = min(one.first_seen for one in everything if one.kind == Verdict.LACKING)
    assert matrix[Verdict.LACKING].oldest == oldest


def test_nothing_is_open(ledger: Ledger) -> None:
    """Without breaks every cell is 0, and a list is empty."""
    with ledger.read() as connection:
        matrix = breaks_by_age(connection, NOON)
        page = page_of_breaks(connection, BreakFilter(), BreakOrder.AMOUNT, None, 5, NOON)

    assert {opened.count for opened in matrix.values()} == {0}
    assert (list(page.breaks), page.total, page.next) == ([], 0, None)
