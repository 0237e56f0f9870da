"""The asset checks: what each looks at, and when it turns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import isinf
from typing import Final, Self

import dagster as dg

from ucred_pipeline.corrections.planning import Planned
from ucred_pipeline.domain import thresholds
from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.domain.thresholds import Measure, Reading, Share, Threshold
from ucred_pipeline.ledger.days import count_changed, failed_days
from ucred_pipeline.ledger.measures import Windows, read_measures, retry_queue
from ucred_pipeline.ledger.reads import Read
from ucred_pipeline.orchestration.partitions import today
from ucred_pipeline.orchestration.pipeline import Pipeline

READ_WHOLE: Final = "read_whole"
REMEMBERS: Final = "indexer_remembers"
WITHIN_LIMITS: Final = "plan_within_limits"
MINT_SUCCESS: Final = "mint_success_rate"
MINT_LATENCY: Final = "mint_latency"
RETRY_QUEUE: Final = "retry_queue"
OVER_CREDITS: Final = "over_credits"
DOUBTS: Final = "doubts_by_age"
NO_RED_DAY: Final = "no_red_day"

_CRITICAL, _WARNING = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
#: What is held against a threshold in a run; the alerts look at these and at more.
_CHECKED: Final = (
    thresholds.MINT_SUCCESS,
    thresholds.MINT_LATENCY,
    thresholds.RETRY_QUEUE,
    thresholds.OVER_CREDITS,
    thresholds.DOUBTS,
)
_MOST_ROWS: Final = 20


def read_whole(asset: str) -> dg.AssetCheckSpec:
    """Declare that a source must be read whole before anything is decided."""
    return dg.AssetCheckSpec(
        READ_WHOLE,
        asset=asset,
        blocking=True,
        description="The source was read whole, or nothing is decided.",
    )


def indexer_remembers(asset: str) -> dg.AssetCheckSpec:
    """Declare that the indexer must remember what it acknowledged."""
    return dg.AssetCheckSpec(
        REMEMBERS,
        asset=asset,
        description="No balance has fallen: the indexer still has what it acknowledged.",
    )


def plan_within_limits(asset: str) -> dg.AssetCheckSpec:
    """Declare that a plan over a limit stops the crediting."""
    return dg.AssetCheckSpec(
        WITHIN_LIMITS, asset=asset, blocking=True, description="The plan is under every limit, or approved."
    )


def measures(asset: str) -> list[dg.AssetCheckSpec]:
    """Declare the checks of the mint's success."""
    told = {
        MINT_SUCCESS: "The payments API's own mints succeed often enough.",
        MINT_LATENCY: "The payments API's own mints arrive soon enough.",
        RETRY_QUEUE: "Few corrections wait to be sent again or settled.",
        OVER_CREDITS: "Nobody was credited more than was owed.",
        DOUBTS: "No doubt is older than a person should let it grow.",
        NO_RED_DAY: "The last run of every day came through: a check shows its newest evaluation only.",
    }
    return [dg.AssetCheckSpec(name, asset=asset, description=text) for name, text in told.items()]


def check_read(read: Read) -> dg.AssetCheckResult:
    """A read that came back was whole."""
    return dg.AssetCheckResult(
        check_name=READ_WHOLE, passed=read.closed, metadata={"rows": read.rows, "changed": read.changed}
    )


def check_unreadable(problem: str) -> dg.AssetCheckResult:
    """A read that did not come back whole decides nothing."""
    return dg.AssetCheckResult(check_name=READ_WHOLE, passed=False, metadata={"problem": problem})


def check_memory(read: Read) -> dg.AssetCheckResult:
    """The indexer remembers, or a hold was raised."""
    return dg.AssetCheckResult(
        check_name=REMEMBERS,
        passed=bool(read.detail["remembers"]),
        metadata={"build": read.detail["build"], "state_root": read.detail["root"]},
    )


def check_plan(planned: Planned) -> dg.AssetCheckResult:
    """A withheld plan blocks what follows, unless another plan may be carried out meanwhile."""
    withheld = planned.withheld
    metadata: dict[str, int | str] = {"corrections": planned.corrections}
    if withheld is not None:
        metadata |= {
            "withheld": withheld.hash,
            "over": ", ".join(withheld.over),
            "ucred": format_ucred(withheld.wei),
        }
    return dg.AssetCheckResult(
        check_name=WITHIN_LIMITS,
        passed=withheld is None,
        severity=_WARNING if planned.plans else _CRITICAL,
        metadata=metadata,
    )


def check_measures(pipeline: Pipeline) -> Iterator[dg.AssetCheckResult]:
    """Hold the measures of the mint against the thresholds."""
    look = _Look.of(pipeline)
    yield _success(look)
    yield _latency(look)
    yield _queue(pipeline, look)
    yield _over_credits(look)
    yield _doubts(look)
    yield _red_days(pipeline)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was measured, and the limits."""

    readings: Mapping[Measure, Reading]
    limits: Mapping[str, float]

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        limits = pipeline.settings.rules.thresholds
        windows = Windows.of(limits.mint_success_window_hours, limits.failed_runs_window_hours)
        with pipeline.ledger.read() as connection:
            found = read_measures(
                connection, [one.measure for one in _CHECKED], windows, pipeline.clock.now()
            )
        return cls(found, limits.by_key)

    def result(
        self,
        name: str,
        threshold: Threshold,
        severity: dg.AssetCheckSeverity,
        told: Mapping[str, float | str],
    ) -> dg.AssetCheckResult:
        """The check passes unless its measure is bad; of what is not known nothing bad is said."""
        bad = threshold.is_bad(self.readings[threshold.measure], self.limits)
        return dg.AssetCheckResult(check_name=name, passed=not bad, severity=severity, metadata=told)


def _success(look: _Look) -> dg.AssetCheckResult:
    share = look.readings[Measure.MINT_SUCCESS].share or Share(0, 0)
    told = {
        "minted": share.part,
        "owed": share.whole,
        "failure_ratio": share.missed / share.whole if share.whole else 0.0,
        "limit_percent": thresholds.MINT_SUCCESS.limit_in(look.limits),
    }
    return look.result(MINT_SUCCESS, thresholds.MINT_SUCCESS, _CRITICAL, told)


def _latency(look: _Look) -> dg.AssetCheckResult:
    seconds = look.readings[Measure.MINT_LATENCY].value
    if seconds is None:
        told = "no log tells when credits arrived"
    else:
        told = "later than any: too many are missing" if isinf(seconds) else f"{seconds:.3f}"
    limit = thresholds.MINT_LATENCY.limit_in(look.limits)
    return look.result(MINT_LATENCY, thresholds.MINT_LATENCY, _WARNING, {"p95_s": told, "limit_s": limit})


def _queue(pipeline: Pipeline, look: _Look) -> dg.AssetCheckResult:
    with pipeline.ledger.read() as connection:
        oldest = retry_queue(connection).oldest
    waited = (pipeline.clock.now() - oldest) / timedelta(seconds=1) if oldest else 0.0
    size, limit = look.readings[Measure.RETRY_QUEUE].value or 0, thresholds.RETRY_QUEUE.limit_in(look.limits)
    told = {"size": size, "limit": limit, "oldest_s": waited}
    return look.result(RETRY_QUEUE, thresholds.RETRY_QUEUE, _WARNING, told)


def _over_credits(look: _Look) -> dg.AssetCheckResult:
    told = {"over_credited": look.readings[Measure.OVER_CREDITS].value or 0}
    return look.result(OVER_CREDITS, thresholds.OVER_CREDITS, _CRITICAL, told)


def _doubts(look: _Look) -> dg.AssetCheckResult:
    told = {
        "oldest_s": look.readings[Measure.DOUBT_AGE].value or 0.0,
        "limit_s": thresholds.DOUBTS.limit_in(look.limits),
    }
    return look.result(DOUBTS, thresholds.DOUBTS, _WARNING, told)


def _red_days(pipeline: Pipeline) -> dg.AssetCheckResult:
    with pipeline.ledger.read() as connection:
        red, changed = failed_days(connection), count_changed(connection, today(pipeline.clock.now()))
    rows = "\n".join(
        f"| {one.day} | {one.failure} | {one.since:%Y-%m-%d %H:%M} |" for one in red[:_MOST_ROWS]
    )
    return dg.AssetCheckResult(
        check_name=NO_RED_DAY,
        passed=not red,
        severity=_WARNING,
        metadata={
            "red_days": len(red),
            "changed_days": changed,
            "oldest": dg.MetadataValue.md(f"| day | ended as | at (UTC) |\n|---|---|---|\n{rows}"),
        },
    )
