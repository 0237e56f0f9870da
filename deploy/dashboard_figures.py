"""What Grafana's dashboard shows: how it stands, how it went, what is open, what fires."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from deploy import metrics
from deploy.conditions import ATTEMPTS, BUCKETS, FAILURES, LATE_PERCENT
from deploy.durations import said
from deploy.rules import SERVICE
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.settings import Thresholds

_COUNT: Final = "short"
_SECONDS: Final = "s"
_SHARE: Final = "percentunit"
_YES_NO: Final = "bool_yes_no"
_A_MILLISECOND: Final = 0.001
_QUANTILE: Final = 1 - LATE_PERCENT / 100


class Look(Enum):
    """How figures are shown: as numbers, as lines over time, as bars for as long as something is so."""

    NUMBER = "number"
    LINES = "lines"
    STATES = "states"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and what it is called."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a figure turns bad: above it, or below it where it is a floor.

    `step` is what a figure that is bad is above the limit by at least: 1 for what is counted.
    """

    at: float
    is_floor: bool = False
    step: float = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """One panel."""

    title: str
    told: str
    unit: str
    queries: tuple[Query, ...]
    limit: Limit | None = None
    is_stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels of one look and height, side by side."""

    look: Look
    height: int
    figures: tuple[Figure, ...]


def rows(limits: Thresholds) -> tuple[Row, ...]:
    """Give the panels, in rows."""
    return (
        Row(Look.NUMBER, 5, tuple(_now(limits))),
        Row(Look.NUMBER, 4, tuple(_health(limits))),
        Row(Look.LINES, 8, tuple(_mints(limits))),
        Row(Look.LINES, 8, tuple(_breaks(limits))),
        Row(Look.LINES, 8, tuple(_corrections(limits))),
        Row(Look.LINES, 8, tuple(_runs(limits))),
        Row(Look.STATES, 9, tuple(_alerts())),
    )


def _now(limits: Thresholds) -> Iterator[Figure]:
    yield _success(limits)
    yield Figure(
        "Mints of the window",
        f"The mints that were judged within {limits.mint_success_window_hours} h, and of them those that the "
        "payments API itself credited. "
        f"Of fewer than {limits.mint_success_from_purchases} the share says nothing.",
        _COUNT,
        (Query(f"{ATTEMPTS} - {FAILURES}", "credited"), Query(ATTEMPTS, "owed")),
    )
    yield _latency(limits)
    yield Figure(
        "Missing",
        f"Purchases that lack their UCRED. The alert fires above {limits.missing_purchases}.",
        _COUNT,
        (Query(metrics.MISSING.name),),
        Limit(limits.missing_purchases, step=1),
    )
    yield Figure(
        "Over-credits",
        "Purchases that were credited more than was owed. One is one too many.",
        _COUNT,
        (Query(metrics.OVER_CREDITS.name),),
        Limit(0, step=1),
    )
    yield Figure(
        "In doubt",
        "Purchases with a credit that may or may not have arrived. The alert goes by their age.",
        _COUNT,
        (Query(metrics.IN_DOUBT.name),),
    )


def _health(limits: Thresholds) -> Iterator[Figure]:
    yield Figure(
        "Ledger readable",
        "Whether the exporter can read the ledger. While it cannot, no other figure is there.",
        _YES_NO,
        (Query(metrics.DATABASE_UP.name),),
        Limit(1, is_floor=True),
    )
    yield Figure(
        "Last run ended",
        f"How long ago a run last came to its end. The alert fires above {said(limits.stale_s)}.",
        _SECONDS,
        (Query(f"time() - {metrics.LAST_SUCCESS.name}"),),
        Limit(limits.stale_s, step=1),
    )
    yield Figure(
        "Stripe was read until",
        "How old the newest moment is until which Stripe's payments were read whole.",
        _SECONDS,
        (Query(f"time() - ({metrics.WATERMARK.name} != 0)"),),
    )
    yield Figure(
        "Holds in force",
        "While there is one nothing is sent, until a person releases it.",
        _COUNT,
        (Query(f"sum without (kind) ({metrics.HOLDS.name})"),),
        Limit(0, step=1),
    )
    yield Figure(
        "Plans withheld",
        "Plans over a limit that wait for `ucred approve`.",
        _COUNT,
        (Query(metrics.WITHHELD_PLANS.name),),
        Limit(0, step=1),
    )
    yield Figure(
        "Open breaks",
        "Purchases that need attention, of every kind: `ucred breaks` lists them.",
        _COUNT,
        (Query(f"sum without (kind) ({metrics.OPEN_BREAKS.name})"),),
    )


def _success(limits: Thresholds) -> Figure:
    percent = limits.mint_success_percent
    return Figure(
        "Mint success",
        "Of the purchases owed a credit, those that the payments API itself credited, without a correction, "
        f"over the alert's own window of {limits.mint_success_window_hours} h. "
        f"The alert fires below {percent:g}%.",
        _SHARE,
        (Query(f"1 - {FAILURES} / {ATTEMPTS}", "mint success"),),
        Limit(percent / 100, is_floor=True),
    )


def _latency(limits: Thresholds) -> Figure:
    return Figure(
        "Mint latency, 95th percentile",
        "From certificate to credit by the indexer's log, over the alert's own window of "
        f"{limits.mint_success_window_hours} h; a credit that is missing is later than any. "
        f"The alert fires above {said(limits.mint_latency_s)}. "
        "Between the exporter's buckets the value is an estimate, at the limit it is not.",
        _SECONDS,
        (Query(f"histogram_quantile({_QUANTILE:g}, {BUCKETS})", "95th percentile"),),
        Limit(limits.mint_latency_s, step=_A_MILLISECOND),
    )


def _mints(limits: Thresholds) -> Iterator[Figure]:
    yield _success(limits)
    yield _latency(limits)


def _breaks(limits: Thresholds) -> Iterator[Figure]:
    yield Figure(
        "Open breaks, by kind",
        "Purchases that need attention: `ucred breaks` lists them.",
        _COUNT,
        (Query(metrics.OPEN_BREAKS.name, "{{kind}}"),),
        is_stacked=True,
    )
    oldest, kinds = metrics.BREAKS_OLDEST.name, f"{Verdict.LACKING}|{Verdict.IN_DOUBT}"
    yield Figure(
        "Age of the oldest that lacks, and of the oldest doubt",
        f"The alerts fire above {said(limits.missing_age_s)} for what lacks and above "
        f"{said(limits.doubt_age_s)} for a doubt; the line is the lower of both.",
        _SECONDS,
        (Query(f'time() - ({oldest}{{kind=~"{kinds}"}} != 0)', "{{kind}}"),),
        Limit(min(limits.missing_age_s, limits.doubt_age_s)),
    )


def _corrections(limits: Thresholds) -> Iterator[Figure]:
    yield Figure(
        "Retry queue",
        f"Corrections that wait to be sent again or settled. The alert fires above {limits.retry_queue}.",
        _COUNT,
        (Query(metrics.RETRY_QUEUE.name, "waiting"),),
        Limit(limits.retry_queue, step=1),
    )
    yield Figure(
        "Age of the oldest in the retry queue",
        "How long ago the correction that waits longest was planned.",
        _SECONDS,
        (Query(f"time() - ({metrics.RETRY_OLDEST.name} != 0)", "oldest"),),
    )


def _runs(limits: Thresholds) -> Iterator[Figure]:
    yield Figure(
        "Duration of the newest run",
        "How long the newest run that has ended took, whatever its end.",
        _SECONDS,
        (Query(metrics.RUN_DURATION.name, "duration"),),
    )
    yield Figure(
        "Failed runs",
        f"Runs of the last {limits.failed_runs_window_hours} h that failed. The alert fires above "
        f"{limits.failed_runs}.",
        _COUNT,
        (Query(metrics.FAILED_RUNS.name, "failed"),),
        Limit(limits.failed_runs, step=1),
    )
    yield Figure(
        "What keeps from sending",
        "Holds by kind, a closed gate, openings of the breaker in a row, a refused token: all 0 while all is "
        "well.",
        _COUNT,
        (
            Query(f"{metrics.HOLDS.name} > 0", "hold: {{kind}}"),
            Query(metrics.GATES_CLOSED.name, "gate closed"),
            Query(metrics.BREAKER_OPENINGS.name, "breaker"),
            Query(metrics.TOKEN_REFUSED.name, "token refused"),
        ),
    )


def _alerts() -> Iterator[Figure]:
    firing = f'max by (alertname, severity) (ALERTS{{alertstate="firing",service="{SERVICE}"}})'
    yield Figure(
        "Alerts that fire",
        "Each for as long as it fires; docs/alerts.md says what each means and what to do.",
        _COUNT,
        (Query(firing, "{{severity}}: {{alertname}}"),),
    )
