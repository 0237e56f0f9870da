"""When each measure is bad, in PromQL, with the limit left open.

Every condition is a comparison that is false exactly at its limit, and no division of it can come
out on the other side of the limit by rounding: a share is that of two whole numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from deploy import metrics
from deploy.durations import duration
from deploy.metrics import Metric
from ucred_pipeline.domain.thresholds import Measure
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.safety import HoldKind
from ucred_pipeline.settings import Thresholds

#: The part of the mints that may be later than the limit: beyond the 95th percentile.
LATE_PERCENT: Final = 5
_SHORTEST_WINDOW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A series that is worked out first, for the rules and the dashboard alike."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class _Compared:
    """A metric; where it has a label `kind`, of this kind, or of any but those."""

    metric: Metric
    kind: str = ""
    but: tuple[str, ...] = ()

    @property
    def selector(self) -> str:
        """The series that are compared."""
        if self.kind:
            return f'{self.metric.name}{{kind="{self.kind}"}}'
        return f'{self.metric.name}{{kind!~"{"|".join(self.but)}"}}' if self.but else self.metric.name

    @property
    def chosen(self) -> str | None:
        """A kind that is compared, where there are kinds."""
        return next((kind for kind in self._kinds if self._is_chosen(kind)), None)

    @property
    def other(self) -> str | None:
        """A kind that is not."""
        return next((kind for kind in self._kinds if not self._is_chosen(kind)), None)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return self.metric.labels.get("kind", ())

    def _is_chosen(self, kind: str) -> bool:
        return kind == self.kind if self.kind else kind not in self.but


@dataclass(frozen=True, slots=True)
class Above(_Compared):
    """The metric is above the limit."""

    def expr(self, limit: float) -> str:
        """Compare with a limit."""
        return f"{self.selector} > {int(limit)}"


@dataclass(frozen=True, slots=True)
class Older(_Compared):
    """The time that the metric tells is longer ago than the limit; 0 stands for none.

    Where there should be one, `is_due`, it is bad as well that there has been none for so long.
    """

    is_due: bool = False

    def expr(self, limit: float) -> str:
        """Compare with a limit in seconds."""
        older = f"time() - ({self.selector} != 0) > {int(limit)}"
        if not self.is_due:
            return older
        before = f"{self.selector} offset {duration(timedelta(seconds=limit))}"
        return f"{older}\n  or {self.selector} == 0 and {before} == 0"


@dataclass(frozen=True, slots=True)
class ShareAbove:
    """So many of so many are above a share; of fewer than `least` nothing is said."""

    part: str
    whole: str

    def expr(self, percent: Decimal, least: int) -> str:
        """Compare with a share in percent."""
        return f"{self.part} / {self.whole} > {percent / 100:f}\n  and {self.whole} >= {least}"


@dataclass(frozen=True, slots=True)
class Counted:
    """The counter has grown within the limit, which is a time."""

    metric: Metric

    def window(self, limit: float) -> timedelta:
        """How long is looked back: never so short that it could fall between two scrapes."""
        return max(timedelta(seconds=limit), _SHORTEST_WINDOW)

    def expr(self, limit: float) -> str:
        """Look back for so many seconds."""
        window = duration(self.window(limit))
        return f"sum without (reason) (increase({self.metric.name}[{window}])) > 0"


Condition = Above | Older | ShareAbove | Counted

ATTEMPTS: Final = "ucred:mint_attempts:window"
FAILURES: Final = "ucred:mint_failures:window"
LATENCIES: Final = "ucred:mint_latency_count:window"
BUCKETS: Final = "ucred:mint_latency_bucket:window"
LATE: Final = "ucred:mint_latency_late:window"

CONDITIONS: Final[Mapping[Measure, Condition]] = {
    Measure.MINT_SUCCESS: ShareAbove(FAILURES, ATTEMPTS),
    Measure.MINT_LATENCY: ShareAbove(LATE, LATENCIES),
    Measure.RETRY_QUEUE: Above(metrics.RETRY_QUEUE),
    Measure.MISSING_PURCHASES: Above(metrics.MISSING),
    Measure.MISSING_AGE: Older(metrics.BREAKS_OLDEST, Verdict.LACKING),
    Measure.OVER_CREDITS: Above(metrics.OVER_CREDITS),
    Measure.DOUBT_AGE: Older(metrics.BREAKS_OLDEST, Verdict.IN_DOUBT),
    Measure.UNISSUED: Above(metrics.OPEN_BREAKS, Verdict.UNISSUED),
    Measure.UNPAID: Above(metrics.OPEN_BREAKS, Verdict.UNPAID),
    Measure.AMBIGUOUS: Above(metrics.OPEN_BREAKS, Verdict.AMBIGUOUS),
    Measure.WITHDRAWN: Above(metrics.OPEN_BREAKS, Verdict.WITHDRAWN),
    Measure.RECONCILIATION_AGE: Older(metrics.LAST_SUCCESS, is_due=True),
    Measure.FAILED_RUNS: Above(metrics.FAILED_RUNS),
    Measure.HOLDS: Above(metrics.HOLDS, but=(HoldKind.PERSON, HoldKind.INDEXER_FORGOT)),
    Measure.HOLDS_BY_PERSONS: Above(metrics.HOLDS, HoldKind.PERSON),
    Measure.GATES_CLOSED: Above(metrics.GATES_CLOSED),
    Measure.PLANS_WITHHELD: Above(metrics.WITHHELD_PLANS),
    Measure.BREAKER_OPENINGS: Above(metrics.BREAKER_OPENINGS),
    Measure.TOKEN_REFUSED: Above(metrics.TOKEN_REFUSED),
    Measure.INDEXER_FORGOT: Above(metrics.HOLDS, HoldKind.INDEXER_FORGOT),
    Measure.ROUTE_BACKLOG_AGE: Counted(metrics.NOTIFICATIONS_FAILED),
}


class NoBucket(ValueError):
    """The limit of the latency is none of the exporter's buckets, so it cannot be told what is above it."""


def recorded(limits: Thresholds) -> tuple[Recorded, ...]:
    """Count the mints of the window, in whole numbers: `increase` alone gives fractions."""

    def grown(series: str) -> str:
        return f"increase({series}[{limits.mint_success_window_hours}h])"

    latency = metrics.MINT_LATENCY.name
    return (
        Recorded(ATTEMPTS, f"round({grown(metrics.MINT_ATTEMPTS.name)})"),
        Recorded(FAILURES, f"round(sum without (reason) ({grown(metrics.MINT_FAILURES.name)}))"),
        Recorded(LATENCIES, f"round({grown(f'{latency}_count')})"),
        Recorded(BUCKETS, f"round({grown(f'{latency}_bucket')})"),
        Recorded(LATE, f'{LATENCIES}\n  - ignoring (le) {BUCKETS}{{le="{bucket_of(limits)}"}}'),
    )


def bucket_of(limits: Thresholds) -> str:
    """Name the bucket that ends at the limit of the latency."""
    if limits.mint_latency_s not in metrics.LATENCY_ENDS:
        ends = ", ".join(f"{end:g}" for end in metrics.LATENCY_ENDS)
        raise NoBucket(f"thresholds.mint_latency_s must be one of {ends}: these are the exporter's buckets")
    return str(float(limits.mint_latency_s))
