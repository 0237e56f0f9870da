"""The sensors: what is due in the retry queue, old days that changed, and runs that died in silence."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import dagster as dg

from ucred_pipeline.ledger.days import OpenDay, open_days
from ucred_pipeline.orchestration.asking import MOST_DAYS, under_way, waits_or_runs
from ucred_pipeline.orchestration.assets import DAYS
from ucred_pipeline.orchestration.ending import end_silent_runs, keep_lost_runs
from ucred_pipeline.orchestration.failing import without_secrets
from ucred_pipeline.orchestration.jobs import (
    SETTLE_CORRECTIONS,
    ask_for_day,
    ask_for_range,
    may_retry,
    reconciliation,
)
from ucred_pipeline.orchestration.liveness import end_dead_runs
from ucred_pipeline.orchestration.partitions import scope_of, scope_tag, today
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.orchestration.retrying import turn_of_the_queue

_RUNNING: Final = dg.DefaultSensorStatus.RUNNING
#: How long a day whose run failed is left alone.
_AFTER_A_FAILURE: Final = timedelta(minutes=15)
#: How far back runs that died are looked for, the first time.
_LOST_BEFORE: Final = timedelta(days=1)


@dg.sensor(job_name=SETTLE_CORRECTIONS, minimum_interval_seconds=60, default_status=_RUNNING)
def due_retries(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the retry queue's run when something in it is due; its key carries the attempt's number."""
    with without_secrets():
        turn = turn_of_the_queue(pipeline)
    if turn is None:
        return dg.SkipReason("Nothing in the retry queue is due.")
    if waits_or_runs(context.instance, SETTLE_CORRECTIONS):
        return dg.SkipReason("The retry queue's run is under way.")
    return dg.RunRequest(run_key=turn, run_config=may_retry())


@dg.sensor(job=reconciliation, minimum_interval_seconds=300, default_status=_RUNNING)
def dirty_days(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask again for old days on which a verdict changed since they were read whole, or whose run failed.

    At most a dozen a tick, the oldest first. Those before the calendar's first day have no partition: such
    as follow on each other are one run.
    """
    now = pipeline.clock.now()
    with without_secrets(), pipeline.ledger.read() as connection:
        found = open_days(connection, today(now), now - _AFTER_A_FAILURE)
    asked = under_way(context.instance).days
    older = [_ask_for_run_of(days, now) for days in _in_a_row(found, DAYS.get_first_partition_key() or "")]
    days = [one for one in found if one.day not in asked and DAYS.has_partition_key(one.day)]
    wanted = older + [ask_for_day(one.day, run_key=_key(one.day, one)) for one in days[:MOST_DAYS]]
    return wanted[:MOST_DAYS] or dg.SkipReason("No old day has changed.")


def _in_a_row(found: Iterable[OpenDay], before: str) -> list[list[OpenDay]]:
    """The days before one, those that follow on each other together."""
    older = sorted((one for one in found if one.day < before), key=lambda one: one.day)
    rows: dict[int, list[OpenDay]] = {}
    for place, one in enumerate(older):
        rows.setdefault(date.fromisoformat(one.day).toordinal() - place, []).append(one)
    return list(rows.values())


def _ask_for_run_of(days: Sequence[OpenDay], now: datetime) -> dg.RunRequest:
    scope = scope_of([days[0].day, days[-1].day], {})
    return ask_for_range(scope, _key(scope_tag(scope), max(days, key=lambda one: one.since)), now)


def _key(days: str, newest: OpenDay) -> str:
    return f"{days}@{newest.since:%Y-%m-%dT%H:%M:%S.%f}"


@dg.sensor(minimum_interval_seconds=60, default_status=_RUNNING)
def failed_runs(context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]) -> dg.SensorResult:
    """Give runs an end in the ledger that died without saying so, those of backfills included."""
    now = pipeline.clock.now()
    since = min(datetime.fromisoformat(context.cursor), now) if context.cursor else now - _LOST_BEFORE
    with without_secrets():
        end_dead_runs(context.instance)
        ended = end_silent_runs(context.instance, pipeline)
        looked = min(keep_lost_runs(context.instance, pipeline, since), now)  # a clock may have been ahead
    return dg.SensorResult(skip_reason=f"{ended} runs were given an end.", cursor=looked.isoformat())


SENSORS: Final = [due_retries, dirty_days, failed_runs]
