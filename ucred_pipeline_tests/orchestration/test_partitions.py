"""Days come back from the tag of a run as they went in."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, keys_of, scope_of, scope_tag, today
from ucred_pipeline.settings import SettingsError

DAY = timedelta(days=1)
DATES = st.dates(date(1, 1, 1), date(9999, 12, 30))


def start(day: date) -> datetime:
    """When a UTC day begins."""
    return datetime.combine(day, time(), UTC)


def days_of(first: date | None, last: date | None) -> Days:
    """The days from one to another, both included; either may be open."""
    return Days(start(first) if first else None, start(last) + DAY if last else None)


@given(first=st.none() | DATES, last=st.none() | DATES, present=DATES)
def test_the_tag_gives_the_days_back(first: date | None, last: date | None, present: date) -> None:
    """Whichever bounds there are, and whichever day is the partition, the tag alone decides."""
    if first and last:
        first, last = min(first, last), max(first, last)
    days = days_of(first, last)

    assert days == scope_of([present.isoformat()], {SCOPE_TAG: scope_tag(days)})


@pytest.mark.parametrize("scope", ["2026-01-02..2026-01-01", "2026-01-01", "a..b", "1..2..3", "..9999-12-31"])
def test_a_tag_that_names_no_days_is_refused(scope: str) -> None:
    """A person may have written it: it says how, and is never taken for other days."""
    with pytest.raises(SettingsError, match="write `open`, or a range as"):
        scope_of(["2026-01-01"], {SCOPE_TAG: scope})


def test_a_run_over_a_range_that_is_none_is_for_no_day() -> None:
    """Dagster's own tags for a range can be written by hand, too."""
    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

    assert keys_of({first: "2026-01-30", last: "2026-02-01"}) == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert keys_of({first: "2026-1-30", last: "2026-02-01"}) == []


@given(keys=st.lists(DATES, min_size=1))
def test_without_a_tag_the_partitions_decide(keys: list[date]) -> None:
    """A run that was started in Dagster plans from its first partition to its last, both included."""
    assert days_of(min(keys), max(keys)) == scope_of([key.isoformat() for key in keys], {})


@given(present=DATES)
def test_all_that_is_open(present: date) -> None:
    """Without bounds the tag says so in a word."""
    assert scope_tag(Days()) == ALL_OPEN
    assert Days() == scope_of([present.isoformat()], {SCOPE_TAG: ALL_OPEN})


@pytest.mark.parametrize("tags", [{}, {SCOPE_TAG: ALL_OPEN}, {SCOPE_TAG: "2026-01-01..2026-01-02"}])
def test_a_run_without_partitions(tags: dict[str, str]) -> None:
    """A run that has no partition plans for all that is open."""
    assert Days() == scope_of([], tags)


@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_the_present_day_is_utc(moment: datetime) -> None:
    """The day's key goes by UTC, in whichever zone the moment is told."""
    assert moment.astimezone(UTC).date().isoformat() == today(moment)
