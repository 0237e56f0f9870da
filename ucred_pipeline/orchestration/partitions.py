"""Days: a partition is the UTC day on which the PaymentIntent was created, which never changes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import dagster as dg

from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.settings import SettingsError

_A_DAY: Final = timedelta(days=1)
#: The tag by which a run says for which days it plans instead of its partitions: all, or a range.
SCOPE_TAG: Final = "ucred/scope"
ALL_OPEN: Final = "open"
#: The tags by which Dagster says for which partitions a run is: one, or a range.
_ONE: Final = "dagster/partition"
_FIRST: Final = "dagster/asset_partition_range_start"
_LAST: Final = "dagster/asset_partition_range_end"
_TO: Final = ".."
_NO_DAYS: Final = (
    f"the run's tag {SCOPE_TAG}, or its partition, names no days: "
    f"write `{ALL_OPEN}`, or a range as 2025-01-01{_TO}2025-12-31"
)


def days_from(first: date) -> dg.DailyPartitionsDefinition:
    """Every UTC day from the first on, today included."""
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), timezone="UTC", end_offset=1)


def today(now: datetime) -> str:
    """The key of the present day."""
    return now.astimezone(UTC).date().isoformat()


def scope_of(keys: Sequence[str], tags: Mapping[str, str]) -> Days:
    """The days that a run plans for: those that its tag names, or else those of its partitions.

    A person may have written the tag: raises SettingsError where it names none.
    """
    scope = tags.get(SCOPE_TAG)
    if scope == ALL_OPEN or not keys:
        return Days()
    try:
        first, last = scope.split(_TO) if scope else (min(keys), max(keys))
        since, until = _start(first) if first else None, _start(last) + _A_DAY if last else None
    except (ValueError, OverflowError):
        raise SettingsError(_NO_DAYS) from None
    if since and until and since >= until:
        raise SettingsError(_NO_DAYS)
    return Days(since, until)


def keys_of(tags: Mapping[str, str]) -> list[str]:
    """The partitions for which a run is, by the tags that Dagster gives it; none by a range that is none."""
    if _FIRST not in tags or _LAST not in tags:
        return [tags[_ONE]] if _ONE in tags else []
    try:
        first, last = date.fromisoformat(tags[_FIRST]), date.fromisoformat(tags[_LAST])
    except ValueError:
        return []
    return [(first + _A_DAY * count).isoformat() for count in range((last - first).days + 1)]


def scope_tag(days: Days) -> str:
    """Name days in a tag: a run over them then costs Dagster as much as one of a single partition."""
    if days == Days():
        return ALL_OPEN
    first = days.since.date().isoformat() if days.since else ""
    last = (days.until - _A_DAY).date().isoformat() if days.until else ""
    return f"{first}{_TO}{last}"


def _start(key: str) -> datetime:
    return datetime.combine(date.fromisoformat(key), time(), UTC)
