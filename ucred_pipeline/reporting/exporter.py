"""The metrics of /metrics: read from the ledger at every scrape, and nothing kept in this process.

A ledger that cannot be read gives no business series, only that it cannot be: stale is not zero.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from ucred_pipeline.domain.clock import Clock, from_micros, to_micros
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.break_lists import breaks_by_age
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.measures import Windows, retry_queue
from ucred_pipeline.ledger.mints import LATENCY_BUCKETS_MS, read_mint_counters
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.ledger.reads import Source, last_closed
from ucred_pipeline.ledger.runs import last_ended, last_reconciled
from ucred_pipeline.reporting.sending_metrics import sending_metrics

#: What the text is, for Prometheus.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DISTRIBUTION: Final = "ucred-pipeline"


def metrics_text(reader: LedgerReader, windows: Windows, clock: Clock) -> bytes:
    """Write the metrics as they are now, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(reader, windows, clock))
    return generate_latest(registry)


class LedgerCollector(Collector):
    """Reads every metric from one snapshot of the ledger."""

    def __init__(self, reader: LedgerReader, windows: Windows, clock: Clock) -> None:
        self._reader = reader
        self._windows = windows
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """Give all of the metrics, or only that the ledger cannot be read."""
        try:
            with self._reader.read() as connection:
                found = list(_of_the_ledger(connection, self._windows, self._clock.now()))
        except LedgerUnusable:
            found = []
        yield _gauge("exporter_database_up", "Whether the ledger could be read (1) or not (0).", bool(found))
        yield _build()
        yield from found


def _of_the_ledger(connection: Connection, windows: Windows, now: datetime) -> Iterator[Metric]:
    yield from _mints(connection)
    yield from _queue(connection)
    yield from _breaks(connection, now)
    yield from _runs(connection, now)
    yield from sending_metrics(connection, windows, now)


def _mints(connection: Connection) -> Iterator[Metric]:
    counters = read_mint_counters(connection)
    told = "Purchases that were owed a credit of the payments API, each counted once."
    yield CounterMetricFamily("ucred_mint_attempts", told, value=counters.attempts)
    told = "Purchases that the payments API itself did not credit, by what they were first found to be."
    failures = CounterMetricFamily("ucred_mint_failures", told, labels=["reason"])
    for reason, count in counters.failures.items():
        failures.add_metric([reason], count)
    yield failures
    ends = [*(str(end / 1000) for end in LATENCY_BUCKETS_MS), "+Inf"]
    counts = zip(ends, accumulate(counters.latency), strict=True)
    told = "Seconds from certificate to credit by the indexer's log; a missing credit is beyond every bucket."
    histogram = HistogramMetricFamily("ucred_mint_latency_seconds", told)
    histogram.add_metric([], list(counts), sum_value=counters.latency_us / 1_000_000)
    yield histogram


def _queue(connection: Connection) -> Iterator[Metric]:
    queue = retry_queue(connection)
    yield _gauge("retry_queue_size", "Corrections that wait to be sent again or settled.", queue.size)
    told = "When the oldest of them was planned; 0 where none waits."
    yield _gauge("retry_queue_oldest_timestamp_seconds", told, _seconds(queue.oldest))


def _breaks(connection: Connection, now: datetime) -> Iterator[Metric]:
    found = breaks_by_age(connection, now)
    yield _gauge("missing_purchases", "Purchases that lack their UCRED.", found[Verdict.LACKING].count)
    yield _gauge(
        "over_credits", "Purchases that were credited more than was owed.", found[Verdict.OVER_CREDITED].count
    )
    told = "Purchases with a credit that may or may not have arrived."
    yield _gauge("in_doubt_credits", told, found[Verdict.IN_DOUBT].count)
    counts = GaugeMetricFamily("ucred_open_breaks", "Open breaks.", labels=["kind"])
    told = "When the oldest open break was found; 0 where none is open."
    oldest = GaugeMetricFamily("ucred_open_breaks_oldest_timestamp_seconds", told, labels=["kind"])
    for kind, opened in found.items():
        counts.add_metric([kind], opened.count)
        oldest.add_metric([kind], _seconds(opened.oldest))
    yield from (counts, oldest)


def _runs(connection: Connection, now: datetime) -> Iterator[Metric]:
    good, newest = last_reconciled(connection, now), last_ended(connection, now)
    told = "When the newest run that came to its end did so; 0 before the first."
    yield _gauge(
        "reconciliation_last_success_timestamp_seconds", told, _seconds(good.finished if good else None)
    )
    lasted = newest.finished - newest.began if newest and newest.finished else timedelta(0)
    told = "How long the newest run that has ended took, whatever its end."
    yield _gauge("reconciliation_last_run_duration_seconds", told, max(lasted / timedelta(seconds=1), 0))
    stripe = last_closed(connection, Source.STRIPE)
    until = from_micros(stripe.detail["until_us"]) if stripe else None
    told = "Until when Stripe's payments were read whole; 0 before the first read."
    yield _gauge("reconciliation_watermark_timestamp_seconds", told, _seconds(until))


def _build() -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "ucred_build_info", "The version of the pipeline; always 1.", labels=["version"]
    )
    family.add_metric([version(_DISTRIBUTION)], 1)
    return family


def _gauge(name: str, told: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ucred_{name}", told, value=value)


def _seconds(moment: datetime | None) -> float:
    return to_micros(moment) / 1_000_000 if moment else 0
