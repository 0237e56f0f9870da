"""The assets: each declares what it is, delegates its work, and says what it read and found.

What they call knows no Dagster. Nothing that is handed to Dagster carries an address or a secret.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import dagster as dg

from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.domain.thresholds import Share
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import Break, open_breaks
from ucred_pipeline.ledger.measures import RetryQueue, coverage, mint_success, retry_queue
from ucred_pipeline.ledger.purchases import Days, count_verdicts
from ucred_pipeline.ledger.reads import Read
from ucred_pipeline.orchestration import checks, crediting, judgement, reading, summary
from ucred_pipeline.orchestration.faults import outcome_of, told_without_secrets
from ucred_pipeline.orchestration.partitions import SCOPE_TAG, days_from, scope_of
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import load_rules
from ucred_pipeline.sources.errors import SourceUnreadable

DAYS: Final = days_from(load_rules(os.environ.get("UCRED_CONFIG")).purchases.first_day)
_OWNERS: Final = ["team:payments"]
#: One step at a time of each: Stripe's quota is shared, and one process sends at a time anyway.
STRIPE_POOL: Final = "stripe"
CREDITS_POOL: Final = "credits"
_MOST_ROWS: Final = 20

_STRIPE_DASHBOARD: Final = "https://dashboard.stripe.com/payments/"

Told = dg.MaterializeResult | dg.AssetCheckResult


class SendConfig(dg.Config):
    """Whether a run may send credits; without it a run plans and sends nothing."""

    apply: bool = False


def _asset(
    group: str,
    kinds: set[str],
    deps: Sequence[Any] = (),
    specs: Sequence[dg.AssetCheckSpec] = (),
    pool: str | None = None,
) -> Callable[[Callable[..., Iterator[Told]]], dg.AssetsDefinition]:
    return dg.asset(
        partitions_def=DAYS,
        group_name=group,
        kinds=kinds,
        deps=list(deps),
        check_specs=list(specs),
        owners=_OWNERS,
        pool=pool,
    )


def _reported(
    context: dg.AssetExecutionContext, pipeline: Pipeline, work: Callable[[], Iterator[Told]]
) -> Iterator[Told]:
    """Do a step's work; when it goes wrong, keep how the run ended and show nobody a secret."""
    applied = is_asked_to_send(context.run.run_config)
    try:
        days = scope_of(context.partition_keys, context.run.tags)
        summary.start(pipeline, context.run.run_id, days, applied=applied, job=context.run.job_name)
        yield from work()
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends here without its text
        told = told_without_secrets(error)
        summary.fail(pipeline, context.run.run_id, outcome_of(error), told)
        if isinstance(error, SourceUnreadable):
            yield checks.check_unreadable(error.problem)
        raise dg.Failure(description=told, allow_retries=False) from None


def is_asked_to_send(run_config: Mapping[str, Any]) -> bool:
    """Whether a run was launched to send credits, by the one step in its configuration that says so."""
    steps: Mapping[str, Any] = run_config.get("ops", {})
    try:
        return any(step.get("config", {}).get("apply", False) for step in steps.values())
    except (
        AttributeError
    ):  # no mapping where Dagster takes nothing else: such a run fails before its first step
        return False


def _read_result(read: Read) -> dg.MaterializeResult:
    plain = {name: value for name, value in read.detail.items() if isinstance(value, str | bool | int)}
    seconds = (read.finished - read.began).total_seconds()
    return dg.MaterializeResult(
        metadata={"dagster/row_count": read.rows, "changed": read.changed, "seconds": seconds, **plain}
    )


@_asset("sources", {"stripe"}, specs=[checks.read_whole("stripe_payments")], pool=STRIPE_POOL)
def stripe_payments(
    context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
) -> Iterator[Told]:
    """Payments from Stripe: on the first run all there are, then what changed, and the days asked for."""

    def work() -> Iterator[Told]:
        days = scope_of(context.partition_keys, context.run.tags)
        read = reading.read_stripe(pipeline, context.run.run_id, days)
        yield checks.check_read(read)
        yield _read_result(read)

    yield from _reported(context, pipeline, work)


@_asset("sources", {"sqlite"}, specs=[checks.read_whole("issuance_records")])
def issuance_records(
    context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
) -> Iterator[Told]:
    """The payments API's records of payments, and its certificates, as they stood at one moment."""

    def work() -> Iterator[Told]:
        read = reading.read_issuances(pipeline, context.run.run_id)
        yield checks.check_read(read)
        yield _read_result(read)

    yield from _reported(context, pipeline, work)


@_asset(
    "sources",
    {"rust"},
    deps=[stripe_payments, issuance_records],
    specs=[checks.read_whole("indexer_balances"), checks.indexer_remembers("indexer_balances")],
)
def indexer_balances(
    context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
) -> Iterator[Told]:
    """Balances from the indexer, of the accounts that matter, each with the time that its read began."""

    def work() -> Iterator[Told]:
        read = reading.read_balances(pipeline, context.run.run_id)
        yield checks.check_read(read)
        yield checks.check_memory(read)
        yield _read_result(read)

    yield from _reported(context, pipeline, work)


@_asset("sources", {"rust"}, deps=[indexer_balances], specs=[checks.read_whole("mint_evidence")])
def mint_evidence(context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[Told]:
    """Credits and mints as the two services' logs tell them, where the settings name a log."""

    def work() -> Iterator[Told]:
        reads = reading.read_evidence(pipeline, context.run.run_id)
        yield dg.AssetCheckResult(check_name=checks.READ_WHOLE, passed=True, metadata={"logs": len(reads)})
        lines = {f"{read.source}_lines": read.rows for read in reads}
        proof = next((read.detail["reason"] for read in reads if "reason" in read.detail), "no_log")
        yield dg.MaterializeResult(
            metadata={"dagster/row_count": sum(lines.values()), "proof": proof, **lines}
        )

    yield from _reported(context, pipeline, work)


@_asset("judgement", {"pandas"}, deps=[stripe_payments, issuance_records, indexer_balances, mint_evidence])
def purchases(context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[Told]:
    """Every purchase with its verdict, its basis and its reason, judged anew where something changed."""

    def work() -> Iterator[Told]:
        settled = crediting.settle(pipeline, context.run.run_id)
        judged = judgement.judge_marked(pipeline, _read_whole(context, pipeline))
        _mark_days(context, judged.days)
        with pipeline.ledger.read() as connection:
            verdicts, found = count_verdicts(connection), open_breaks(connection)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(verdicts.values()),
                "judged": judged.looked_at,
                "changed": judged.changed,
                "doubts_settled": settled.applied + settled.not_applied,
                **verdicts,
                "open_breaks": _table(found),
            }
        )

    yield from _reported(context, pipeline, work)


@_asset(
    "corrections", {"sql"}, deps=[purchases], specs=[checks.plan_within_limits("purchases_lacking_ucred")]
)
def purchases_lacking_ucred(
    context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]
) -> Iterator[Told]:
    """The plan: what lacks its UCRED within the days of the run, with the hash by which it is approved."""

    def work() -> Iterator[Told]:
        days = scope_of(context.partition_keys, context.run.tags)
        planned = crediting.plan(pipeline, context.run.run_id, days)
        if planned.withheld and not planned.plans:
            credited = crediting.would_credit(pipeline, planned)
            summary.finish(pipeline, context.run.run_id, credited, planned.withheld.hash)
        with pipeline.ledger.read() as connection:
            lacking = open_breaks(connection, Verdict.LACKING)
        yield checks.check_plan(planned)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": planned.corrections,
                "ucred": format_ucred(planned.wei),
                "plan": planned.newest.hash if planned.newest else "nothing to plan",
                "lacking": _table(lacking),
            }
        )

    yield from _reported(context, pipeline, work)


@_asset("corrections", {"rust"}, deps=[purchases_lacking_ucred], pool=CREDITS_POOL)
def corrective_credits(
    context: dg.AssetExecutionContext, config: SendConfig, pipeline: dg.ResourceParam[Pipeline]
) -> Iterator[Told]:
    """Sends the plan's credits, each once, and judges their accounts again.

    It plans anew, for a click may start it alone.
    """

    def work() -> Iterator[Told]:
        days = scope_of(context.partition_keys, context.run.tags)
        planned = crediting.plan(pipeline, context.run.run_id, days)
        credited = (
            crediting.carry_out(pipeline, context.run.run_id, planned)
            if config.apply
            else crediting.would_credit(pipeline, planned)
        )
        judgement.judge_marked(pipeline, _read_whole(context, pipeline))
        newest = planned.newest.hash if planned.newest else None
        summary.finish(pipeline, context.run.run_id, credited, newest)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": credited.confirmed,
                "planned": credited.planned,
                "confirmed": credited.confirmed,
                "refused": credited.refused,
                "in_doubt": credited.in_doubt,
                "held": credited.held,
                "hold": str(credited.hold or "none"),
            }
        )

    yield from _reported(context, pipeline, work)


@_asset("measures", {"sql"}, deps=[corrective_credits], specs=checks.measures("mint_metrics"))
def mint_metrics(context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> Iterator[Told]:
    """The mint's success: the share that the payments API credited, and the share that has its UCRED."""

    def work() -> Iterator[Told]:
        window = timedelta(hours=pipeline.settings.rules.thresholds.mint_success_window_hours)
        since = pipeline.clock.now() - window
        with pipeline.ledger.read() as connection:
            success, covered = mint_success(connection, since), coverage(connection)
            queue = retry_queue(connection)
        yield from checks.check_measures(pipeline)
        yield dg.MaterializeResult(
            metadata={
                "mint_failure_ratio": _failed(success),
                "minted": success.part,
                "owed_in_window": success.whole,
                "covered": covered.part,
                "owed": covered.whole,
                **queue_told(queue, pipeline.clock.now()),
            }
        )

    yield from _reported(context, pipeline, work)


ASSETS: Final = [
    stripe_payments,
    issuance_records,
    indexer_balances,
    mint_evidence,
    purchases,
    purchases_lacking_ucred,
    corrective_credits,
    mint_metrics,
]


def _read_whole(context: dg.AssetExecutionContext, pipeline: Pipeline) -> list[Days]:
    days = scope_of(context.partition_keys, context.run.tags)
    return reading.days_read_whole(pipeline, context.run.run_id, days)


def _mark_days(context: dg.AssetExecutionContext, days: Sequence[str]) -> None:
    """Tell Dagster of the other days that a run over more than its partitions has judged.

    For this asset alone: an event costs Dagster some 50 ms, and a first run may touch years of days.
    """
    first = DAYS.get_first_partition_key() or ""
    if SCOPE_TAG in context.run.tags:
        for day in sorted(set(days) - set(context.partition_keys)):
            if day >= first:
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=day))


def queue_told(queue: RetryQueue, now: datetime) -> dict[str, int | float]:
    """Say how deep the retry queue is, and how long its oldest item has waited."""
    waited = (now - queue.oldest) / timedelta(seconds=1) if queue.oldest else 0.0
    return {"retry_queue": queue.size, "oldest_retry_s": waited}


def _failed(share: Share) -> float:
    return share.missed / share.whole if share.whole else 0.0


def _table(found: Sequence[Break]) -> dg.MarkdownMetadataValue:
    """Show the oldest breaks, without addresses; each links to its payment in Stripe's dashboard."""
    head = "| break | kind | payment | namespace | UCRED | reason |\n|---|---|---|---|---|---|\n"
    rows = [
        f"| {one.id} | {one.kind} | [{one.payment_intent}]({_STRIPE_DASHBOARD}{one.payment_intent}) "
        f"| {_plain(one.namespace)} | {format_ucred(one.amount)} | {one.reason} |"
        for one in found[:_MOST_ROWS]
    ]
    more = f"\n\n{len(found) - _MOST_ROWS} more: `ucred breaks`" if len(found) > _MOST_ROWS else ""
    return dg.MetadataValue.md(head + "\n".join(rows) + more)


def _plain(namespace: str | None) -> str:
    """A namespace is a customer's text: it must not become markup."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "·" for letter in namespace or "")
