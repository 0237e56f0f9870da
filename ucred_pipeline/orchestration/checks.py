"""The asset checks: what each looks at, and when it turns."""

from collections.abc import Iterator
from datetime import timedelta
from math import isinf
from typing import Final

import dagster as dg

from ucred_pipeline.corrections.planning import Planned
from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.days import count_changed, failed_days
from ucred_pipeline.ledger.measures import mint_latency_s, mint_success, oldest_doubt, retry_queue
from ucred_pipeline.ledger.purchases import count_verdicts
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
_QUANTILE: Final = 0.95
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
    yield _success(pipeline)
    yield _latency(pipeline)
    yield _queue(pipeline)
    yield _over_credits(pipeline)
    yield _doubts(pipeline)
    yield _red_days(pipeline)


def _success(pipeline: Pipeline) -> dg.AssetCheckResult:
    limits, now = pipeline.settings.rules.thresholds, pipeline.clock.now()
    with pipeline.ledger.read() as connection:
        share = mint_success(connection, now - timedelta(hours=limits.mint_success_window_hours))
    return dg.AssetCheckResult(
        check_name=MINT_SUCCESS,
        passed=not share.is_below(limits.mint_success_percent, least=limits.mint_success_from_purchases),
        severity=_CRITICAL,
        metadata={
            "minted": share.part,
            "owed": share.whole,
            "failure_ratio": share.missed / share.whole if share.whole else 0.0,
            "limit_percent": limits.mint_success_percent,
        },
    )


def _latency(pipeline: Pipeline) -> dg.AssetCheckResult:
    limits, now = pipeline.settings.rules.thresholds, pipeline.clock.now()
    since = now - timedelta(hours=limits.mint_success_window_hours)
    with pipeline.ledger.read() as connection:
        seconds = mint_latency_s(connection, since, _QUANTILE)
    if seconds is None:
        told = "no log tells when credits arrived"
    else:
        told = "later than any: too many are missing" if isinf(seconds) else f"{seconds:.3f}"
    return dg.AssetCheckResult(
        check_name=MINT_LATENCY,
        passed=seconds is None or seconds <= limits.mint_latency_s,
        severity=_WARNING,
        metadata={"p95_s": told, "limit_s": limits.mint_latency_s},
    )


def _queue(pipeline: Pipeline) -> dg.AssetCheckResult:
    with pipeline.ledger.read() as connection:
        queue = retry_queue(connection)
    limit = pipeline.settings.rules.thresholds.retry_queue
    waited = (pipeline.clock.now() - queue.oldest) / timedelta(seconds=1) if queue.oldest else 0.0
    return dg.AssetCheckResult(
        check_name=RETRY_QUEUE,
        passed=queue.size <= limit,
        severity=_WARNING,
        metadata={"size": queue.size, "limit": limit, "oldest_s": waited},
    )


def _over_credits(pipeline: Pipeline) -> dg.AssetCheckResult:
    with pipeline.ledger.read() as connection:
        count = count_verdicts(connection)[Verdict.OVER_CREDITED]
    return dg.AssetCheckResult(
        check_name=OVER_CREDITS, passed=count == 0, severity=_CRITICAL, metadata={"over_credited": count}
    )


def _doubts(pipeline: Pipeline) -> dg.AssetCheckResult:
    with pipeline.ledger.read() as connection:
        oldest = oldest_doubt(connection)
    age = (pipeline.clock.now() - oldest) / timedelta(seconds=1) if oldest else 0.0
    limit = pipeline.settings.rules.thresholds.doubt_age_s
    return dg.AssetCheckResult(
        check_name=DOUBTS,
        passed=age <= limit,
        severity=_WARNING,
        metadata={"oldest_s": age, "limit_s": limit},
    )


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
