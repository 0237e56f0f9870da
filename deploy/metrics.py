"""The metrics that `ucred serve` exposes, with the values that their labels may have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ucred_pipeline.ledger.breaks import KINDS
from ucred_pipeline.ledger.mints import FAILURES, LATENCY_BUCKETS_MS
from ucred_pipeline.ledger.safety import HoldKind

#: The job of the scrape of `ucred serve`, and the one of Alertmanager's own metrics.
JOB: Final = "ucred"
ALERTMANAGER_JOB: Final = "alertmanager"
#: The upper ends of the latency's buckets, in seconds, as the exporter writes them.
LATENCY_ENDS: Final = tuple(end / 1000 for end in LATENCY_BUCKETS_MS)


class Kind(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; `labels` has the values that are known in advance, of which each is always exposed."""

    name: str
    kind: Kind = Kind.GAUGE
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its samples are stored."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


MINT_ATTEMPTS: Final = Metric("ucred_mint_attempts_total", Kind.COUNTER)
MINT_FAILURES: Final = Metric("ucred_mint_failures_total", Kind.COUNTER, {"reason": FAILURES})
MINT_LATENCY: Final = Metric("ucred_mint_latency_seconds", Kind.HISTOGRAM)
RETRY_QUEUE: Final = Metric("ucred_retry_queue_size")
RETRY_OLDEST: Final = Metric("ucred_retry_queue_oldest_timestamp_seconds")
MISSING: Final = Metric("ucred_missing_purchases")
OVER_CREDITS: Final = Metric("ucred_over_credits")
IN_DOUBT: Final = Metric("ucred_in_doubt_credits")
OPEN_BREAKS: Final = Metric("ucred_open_breaks", labels={"kind": KINDS})
BREAKS_OLDEST: Final = Metric("ucred_open_breaks_oldest_timestamp_seconds", labels={"kind": KINDS})
LAST_SUCCESS: Final = Metric("ucred_reconciliation_last_success_timestamp_seconds")
RUN_DURATION: Final = Metric("ucred_reconciliation_last_run_duration_seconds")
WATERMARK: Final = Metric("ucred_reconciliation_watermark_timestamp_seconds")
FAILED_RUNS: Final = Metric("ucred_failed_runs")
HOLDS: Final = Metric("ucred_holds", labels={"kind": tuple(kind.value for kind in HoldKind)})
GATES_CLOSED: Final = Metric("ucred_gates_closed")
WITHHELD_PLANS: Final = Metric("ucred_withheld_plans")
BREAKER_OPENINGS: Final = Metric("ucred_breaker_openings")
TOKEN_REFUSED: Final = Metric("ucred_token_refused")
DATABASE_UP: Final = Metric("ucred_exporter_database_up")
BUILD: Final = Metric("ucred_build_info")

#: Read from the ledger: absent while it cannot be read.
OF_THE_LEDGER: Final = (
    MINT_ATTEMPTS,
    MINT_FAILURES,
    MINT_LATENCY,
    RETRY_QUEUE,
    RETRY_OLDEST,
    MISSING,
    OVER_CREDITS,
    IN_DOUBT,
    OPEN_BREAKS,
    BREAKS_OLDEST,
    LAST_SUCCESS,
    RUN_DURATION,
    WATERMARK,
    FAILED_RUNS,
    HOLDS,
    GATES_CLOSED,
    WITHHELD_PLANS,
    BREAKER_OPENINGS,
    TOKEN_REFUSED,
)
#: There whenever the exporter answers.
ALWAYS: Final = (DATABASE_UP, BUILD)
#: Of Alertmanager itself.
NOTIFICATIONS_FAILED: Final = Metric("alertmanager_notifications_failed_total", Kind.COUNTER)
ALL: Final = (*OF_THE_LEDGER, *ALWAYS, NOTIFICATIONS_FAILED)
