"""Gives runs an end in the ledger that died without saying so, also those that never began a step."""

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Run, find_run, running_runs
from ucred_pipeline.orchestration import summary
from ucred_pipeline.orchestration.assets import is_asked_to_send
from ucred_pipeline.orchestration.ownership import is_ours
from ucred_pipeline.orchestration.partitions import keys_of, scope_of
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import SettingsError

#: When a run is given up of which this Dagster knows nothing.
_GIVEN_UP: Final = timedelta(days=1)
_AT_ONCE: Final = 200
_WILL_RETRY: Final = "dagster/will_retry"
_DIED: Final = "the run's process died, or was ended for taking too long; see Dagster's log of it"
_TERMINATED: Final = "the run was terminated"
_RETRIED: Final = "the run's process died; Dagster runs it again"
_IN_PART: Final = "only some of the steps were asked for"
_UNKNOWN: Final = "the run stopped without saying so, and Dagster does not know it"


def end_silent_runs(instance: dg.DagsterInstance, pipeline: Pipeline) -> int:
    """End the runs that the ledger still takes for running, and Dagster knows to have ended; count them."""
    with pipeline.ledger.read() as connection:
        running = running_runs(connection)
    return sum(_end(pipeline, run, instance.get_run_by_id(run.id)) for run in running)


def keep_lost_runs(instance: dg.DagsterInstance, pipeline: Pipeline, since: datetime) -> datetime:
    """Keep the runs that failed before they could leave anything in the ledger; say up to when was looked.

    Not a `run_failure_sensor`: that sees five runs a tick, and none that was terminated.
    """
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    filters = dg.RunsFilter(statuses=ended, updated_after=since)
    records = instance.get_run_records(filters, limit=_AT_ONCE, order_by="update_timestamp", ascending=True)
    for record in records:
        if is_ours(record.dagster_run):
            _keep(pipeline, record.dagster_run)
    return max([since, *(record.update_timestamp for record in records)])


def _end(pipeline: Pipeline, run: Run, known: dg.DagsterRun | None) -> bool:
    if known is None:
        is_over, end = pipeline.clock.now() - run.began > _GIVEN_UP, (Outcome.FAULT, _UNKNOWN)
    else:
        is_over, end = known.is_finished, _end_of(known)
    if is_over:
        summary.fail(pipeline, run.id, *end)
    return is_over


def _keep(pipeline: Pipeline, run: dg.DagsterRun) -> None:
    outcome, told = _end_of(run)
    with pipeline.ledger.read() as connection:
        is_known = find_run(connection, run.run_id) is not None
    if is_known or outcome is Outcome.RETRIED:
        return
    try:
        days = scope_of(keys_of(run.tags), run.tags)
    except SettingsError as error:
        days, outcome, told = Days(), Outcome.SETTINGS, str(error)
    summary.start(pipeline, run.run_id, days, applied=is_asked_to_send(run.run_config), job=run.job_name)
    summary.fail(pipeline, run.run_id, outcome, told)


def _end_of(run: dg.DagsterRun) -> tuple[Outcome, str]:
    """What to say of a run that did not say it itself."""
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return Outcome.DONE, _IN_PART
    if run.status is dg.DagsterRunStatus.CANCELED:
        return Outcome.FAULT, _TERMINATED
    if run.tags.get(_WILL_RETRY) == "true":
        return Outcome.RETRIED, _RETRIED
    return Outcome.FAULT, _DIED
