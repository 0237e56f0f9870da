"""Where a measure turns bad: the one place for the checks, the alerts, and whatever draws their limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self


class Unit(StrEnum):
    """What a measure counts in."""

    COUNT = "count"
    SECONDS = "seconds"
    PERCENT = "percent"


class Measure(StrEnum):
    """What is measured in the ledger, each by one query (`ledger/measures.py`)."""

    unit: Unit

    def __new__(cls, value: str, unit: Unit = Unit.COUNT) -> Self:
        """Keep the unit beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.unit = unit
        return member

    MINT_SUCCESS = "mint_success", Unit.PERCENT
    MINT_LATENCY = "mint_latency", Unit.SECONDS
    RETRY_QUEUE = "retry_queue"
    MISSING_PURCHASES = "missing_purchases"
    MISSING_AGE = "missing_age", Unit.SECONDS
    OVER_CREDITS = "over_credits"
    DOUBT_AGE = "doubt_age", Unit.SECONDS
    UNISSUED = "unissued"
    UNPAID = "unpaid"
    AMBIGUOUS = "ambiguous"
    WITHDRAWN = "withdrawn"
    RECONCILIATION_AGE = "reconciliation_age", Unit.SECONDS
    FAILED_RUNS = "failed_runs"
    HOLDS = "holds"
    HOLDS_BY_PERSONS = "holds_by_persons"
    GATES_CLOSED = "gates_closed"
    PLANS_WITHHELD = "plans_withheld"
    BREAKER_OPENINGS = "breaker_openings"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - the name of a measure
    INDEXER_FORGOT = "indexer_forgot"
    ROUTE_BACKLOG_AGE = "route_backlog_age", Unit.SECONDS


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def ratio(self) -> float | None:
        """The share; None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def missed(self) -> int:
        """How many are not among the part."""
        return self.whole - self.part

    def is_below(self, percent: float, *, least: int) -> bool:
        """Whether the share is below a limit; exactly at it is not, and of too few nothing is said."""
        return self.whole >= least and self.missed * 100 > (100 - percent) * self.whole


@dataclass(frozen=True, slots=True)
class Reading:
    """What a measure came to; `value` is None where nothing is known.

    `each` has the value of every single thing that was measured, by its name: a break's id, the kind
    of a hold. `wei` is the amount that they come to, where they have one.
    """

    value: float | None = None
    share: Share | None = None
    each: Mapping[str, float] = field(default_factory=dict)
    wei: int | None = None


class Comparison(StrEnum):
    """On which side of its limit a measure is bad; at the limit itself it is good."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A measure, and the limit beyond which it is bad.

    `limit` is a key of `[thresholds]` in `ucred.toml`, or a number that is nobody's to choose. What is
    bad below its limit is a share, in percent; `least` is the key of the number below which it says
    nothing, and is never bad.
    """

    measure: Measure
    limit: str | int
    comparison: Comparison = Comparison.ABOVE
    least: str | None = None

    def limit_in(self, limits: Mapping[str, float]) -> float:
        """The limit in force."""
        return limits[self.limit] if isinstance(self.limit, str) else self.limit

    def is_bad(self, reading: Reading, limits: Mapping[str, float]) -> bool | None:
        """Whether the measure is bad; None where nothing is known."""
        limit = self.limit_in(limits)
        if self.comparison is Comparison.BELOW:
            share, least = reading.share, int(limits[self.least]) if self.least else 1
            return None if share is None else share.is_below(limit, least=least)
        return None if reading.value is None else reading.value > limit

    def bad_ones(self, reading: Reading, limits: Mapping[str, float]) -> dict[str, float]:
        """Every single thing whose own value is bad."""
        limit = self.limit_in(limits)
        return {name: value for name, value in reading.each.items() if value > limit}


MINT_SUCCESS: Final = Threshold(
    Measure.MINT_SUCCESS, "mint_success_percent", Comparison.BELOW, "mint_success_from_purchases"
)
MINT_LATENCY: Final = Threshold(Measure.MINT_LATENCY, "mint_latency_s")
RETRY_QUEUE: Final = Threshold(Measure.RETRY_QUEUE, "retry_queue")
OVER_CREDITS: Final = Threshold(Measure.OVER_CREDITS, 0)
DOUBTS: Final = Threshold(Measure.DOUBT_AGE, "doubt_age_s")
STALE: Final = Threshold(Measure.RECONCILIATION_AGE, "stale_s")
