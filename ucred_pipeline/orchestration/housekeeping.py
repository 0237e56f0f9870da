"""Once a night: the ledger forgets what may be forgotten, and Dagster its old runs.

Dagster keeps every run for ever, each in a file of its own. A run that is deleted takes its
materializations along, so only those are that no schedule looks back to.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import dagster as dg

from ucred_pipeline.ledger.pruning import prune
from ucred_pipeline.orchestration.failing import without_secrets
from ucred_pipeline.orchestration.ownership import is_ours
from ucred_pipeline.orchestration.pipeline import Pipeline

_AT_ONCE: Final = 200
_MOST: Final = 5_000
_ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op
def forget_old_rows(context: dg.OpExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> None:
    """Forget old reads and runs in the ledger."""
    rules = pipeline.settings.rules.housekeeping
    before = pipeline.clock.now() - timedelta(days=rules.keep_days)
    with without_secrets(), pipeline.ledger.write() as connection:
        pruned = prune(connection, before)
    context.add_output_metadata({"reads": pruned.reads, "runs": pruned.runs, "notes": pruned.notes})


@dg.op
def forget_old_dagster_runs(context: dg.OpExecutionContext, pipeline: dg.ResourceParam[Pipeline]) -> None:
    """Forget old runs in Dagster's own history, so many a night."""
    rules = pipeline.settings.rules.housekeeping
    before = pipeline.clock.now() - timedelta(days=rules.keep_dagster_days)
    with without_secrets():
        old = list(islice(_runs_before(context.instance, before), _MOST))
        for run_id in old:
            context.instance.delete_run(run_id)
    context.add_output_metadata({"runs": len(old)})


@dg.job(description="Forgets what nobody needs any more, in the ledger and in Dagster's history.")
def housekeeping() -> None:
    """Forget what is old."""
    forget_old_rows()
    forget_old_dagster_runs()


@dg.schedule(
    job=housekeeping,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def housekeeping_schedule() -> dg.RunRequest:
    """Ask for it every night."""
    return dg.RunRequest()


def _runs_before(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    """The pipeline's runs that had ended and were made before, page by page; those of others stay."""
    cursor = None
    chosen = dg.RunsFilter(statuses=_ENDED, created_before=before)
    while records := instance.get_run_records(chosen, limit=_AT_ONCE, cursor=cursor):
        yield from (record.dagster_run.run_id for record in records if is_ours(record.dagster_run))
        cursor = records[-1].dagster_run.run_id
