"""The jobs, and the schedule that heals what an outage skipped."""

from datetime import datetime
from typing import Any, Final

import dagster as dg

from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import RECONCILIATION
from ucred_pipeline.orchestration import retrying, summary
from ucred_pipeline.orchestration.asking import MOST_DAYS, skipped_days, under_way
from ucred_pipeline.orchestration.assets import (
    ASSETS,
    CREDITS_POOL,
    SendConfig,
    corrective_credits,
    is_asked_to_send,
    queue_told,
)
from ucred_pipeline.orchestration.faults import outcome_of, told_without_secrets
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, scope_tag, today
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.orchestration.retrying import Retried

SETTLE_CORRECTIONS: Final = "settle_corrections"
#: A run of the queue that takes longer has stopped; it has a few dozen requests to make.
_LONGEST_RUN_S: Final = "900"
#: By this dagster.yaml starts one reconciliation at a time: a run that waits for a pool keeps a core busy.
_ONE_AT_A_TIME: Final = {"ucred/lane": RECONCILIATION}
#: What credits now does not wait behind a year of days.
_FIRST_IN_THE_QUEUE: Final = {"dagster/priority": "10"}

reconciliation = dg.define_asset_job(
    RECONCILIATION,
    selection=ASSETS,
    description="Reads the three systems, judges what something touched, and credits what lacks.",
    tags=_ONE_AT_A_TIME,
)


@dg.op(pool=CREDITS_POOL)
def retry_queue(
    context: dg.OpExecutionContext, config: SendConfig, pipeline: dg.ResourceParam[Pipeline]
) -> None:
    """Asks about doubts, and sends again what was provably not applied and is due."""
    run_id, applied = context.run.run_id, is_asked_to_send(context.run.run_config)
    summary.start(pipeline, run_id, Days(), applied=applied, job=SETTLE_CORRECTIONS)
    try:
        retried = retrying.settle_and_retry(pipeline, run_id, apply=config.apply)
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends here without its text
        told = told_without_secrets(error)
        summary.fail(pipeline, run_id, outcome_of(error), told)
        raise dg.Failure(description=told, allow_retries=False) from None
    summary.finish(pipeline, run_id, retried.credited, retried.plan)
    context.log_event(dg.AssetObservation(corrective_credits.key, metadata=_told(pipeline, retried)))


@dg.job(
    name=SETTLE_CORRECTIONS,
    description="The retry queue: settles doubts, and sends again what was provably not applied.",
    tags={"dagster/max_runtime": _LONGEST_RUN_S, **_FIRST_IN_THE_QUEUE},
)
def settle_corrections() -> None:
    """Run the retry queue once."""
    retry_queue()


def _told(pipeline: Pipeline, retried: Retried) -> dict[str, int | float | str]:
    return {
        "settled_as_credited": retried.settled.applied,
        "settled_as_not_credited": retried.settled.not_applied,
        "confirmed": retried.credited.confirmed,
        "refused": retried.credited.refused,
        "in_doubt": retried.credited.in_doubt,
        "hold": str(retried.credited.hold or "none"),
        **queue_told(retried.queue, pipeline.clock.now()),
    }


@dg.schedule(
    job=reconciliation,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def reconciliation_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Ask every quarter of an hour for a run over all that is open, and for days that an outage skipped.

    The run over all that is open credits what an outage left; the days then get their place in the calendar,
    at most a dozen a tick, the oldest first, before it falls out of the fortnight that is looked back.
    """
    now, asked = context.scheduled_execution_time, under_way(context.instance)
    skipped = [day for day in skipped_days(context.instance, now) if day not in asked.days]
    requests = [ask_for_day(day, run_key=day) for day in skipped[:MOST_DAYS]]
    return requests if asked.open_waits else [_ask_for_all_open(today(now)), *requests]


def _ask_for_all_open(day: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=ALL_OPEN,
        partition_key=day,
        tags={SCOPE_TAG: ALL_OPEN, **_FIRST_IN_THE_QUEUE},
        run_config=may_send(),
    )


def ask_for_day(day: str, run_key: str) -> dg.RunRequest:
    """Ask for a run that reads one day whole, and credits what lacks on it."""
    return dg.RunRequest(run_key=run_key, partition_key=day, run_config=may_send())


def ask_for_range(days: Days, run_key: str, now: datetime) -> dg.RunRequest:
    """Ask for one run that reads several days whole: Dagster takes it for one of the present day."""
    return dg.RunRequest(
        run_key=run_key, partition_key=today(now), tags={SCOPE_TAG: scope_tag(days)}, run_config=may_send()
    )


def may_send(*, apply: bool = True) -> dict[str, Any]:
    """The run configuration that says whether a reconciliation may send credits."""
    return {"ops": {corrective_credits.op.name: {"config": {"apply": apply}}}}


def may_retry(*, apply: bool = True) -> dict[str, Any]:
    """The run configuration that says whether the retry queue may send credits."""
    return {"ops": {retry_queue.name: {"config": {"apply": apply}}}}
