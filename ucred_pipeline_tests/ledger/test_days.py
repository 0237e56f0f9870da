"""Days that must be asked for again: those that changed since they were read, and those whose run failed."""

from datetime import UTC, datetime, timedelta
from typing import Final

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.days import (
    OpenDay,
    count_changed,
    failed_days,
    note_changed,
    note_failed,
    note_reconciled,
    open_days,
)
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline_tests.conftest import NOON

HOUR: Final = timedelta(hours=1)
TODAY: Final = "2026-02-03"


def day(number: int) -> datetime:
    """The beginning of a day of January."""
    return datetime(2026, 1, number, tzinfo=UTC)


def asked(ledger: Ledger, now: datetime = NOON) -> list[str]:
    """The days that are asked for again, in their order."""
    with ledger.read() as connection:
        return [found.day for found in open_days(connection, TODAY, now)]


def test_a_change_asks_for_the_day_until_it_is_read_whole(ledger: Ledger) -> None:
    """A day is open from its change until a run over it judged, and again from the next change on."""
    with ledger.write() as connection:
        note_changed(connection, ["2026-01-02", "2026-01-01", "2026-01-02"], NOON)
    assert asked(ledger) == ["2026-01-01", "2026-01-02"]

    with ledger.write() as connection:
        note_reconciled(connection, Days(day(1), day(2)), NOON)
    assert asked(ledger) == ["2026-01-02"]

    with ledger.write() as connection:
        note_reconciled(connection, Days(), NOON)
        note_changed(connection, ["2026-01-01"], NOON + HOUR)
    assert asked(ledger) == ["2026-01-01"]
    with ledger.read() as connection:
        assert count_changed(connection, TODAY) == 1
        assert open_days(connection, TODAY, NOON) == [OpenDay("2026-01-01", NOON + HOUR, None)]


def test_the_present_day_is_not_asked_for(ledger: Ledger) -> None:
    """The schedule sees to the present day anyway."""
    with ledger.write() as connection:
        note_changed(connection, [TODAY], NOON)

    assert asked(ledger) == []


def test_a_run_that_failed_makes_its_days_red(ledger: Ledger) -> None:
    """They are red until a later run came through, and one that judged before it failed does not count."""
    with ledger.write() as connection:
        note_changed(connection, ["2026-01-01"], NOON)
        note_reconciled(connection, Days(day(1), day(3)), NOON)
        note_failed(connection, Days(day(1), day(3)), NOON + HOUR, "fault")
    with ledger.read() as connection:
        assert failed_days(connection) == [
            OpenDay("2026-01-01", NOON + HOUR, "fault"),
            OpenDay("2026-01-02", NOON + HOUR, "fault"),
        ]

    with ledger.write() as connection:
        note_reconciled(connection, Days(since=day(2)), NOON + 2 * HOUR)
    with ledger.read() as connection:
        assert [found.day for found in failed_days(connection)] == ["2026-01-01"]


def test_a_run_without_bounds_makes_no_day_red(ledger: Ledger) -> None:
    """What a run over all that is open came to is told by the run itself."""
    with ledger.write() as connection:
        note_failed(connection, Days(), NOON, "fault")
        note_failed(connection, Days(since=day(1)), NOON, "fault")

    assert asked(ledger) == []


def test_a_day_that_always_fails_keeps_none_waiting(ledger: Ledger) -> None:
    """A red day is left alone for a while, and then comes after the days that changed."""
    with ledger.write() as connection:
        note_failed(connection, Days(day(1), day(2)), NOON, "source_unreadable")
        note_changed(connection, ["2026-01-09", "2026-01-05"], NOON)

    assert asked(ledger, NOON - timedelta(seconds=1)) == ["2026-01-05", "2026-01-09"]
    assert asked(ledger, NOON) == ["2026-01-05", "2026-01-09", "2026-01-01"]
