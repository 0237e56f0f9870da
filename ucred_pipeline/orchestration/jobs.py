"""The jobs and the schedule."""

from typing import Any

import dagster as dg

from ucred_pipeline.orchestration.assets import ASSETS, corrective_credits
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, today

RECONCILIATION = "reconciliation"

reconciliation = dg.define_asset_job(
    RECONCILIATION,
    selection=ASSETS,
    description="Reads the three systems, judges what something touched, and credits what lacks.",
)


@dg.schedule(
    job=reconciliation,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def reconciliation_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask every quarter of an hour for a run over all that is open; what an outage skipped is in the next."""
    return dg.RunRequest(
        partition_key=today(context.scheduled_execution_time),
        tags={SCOPE_TAG: ALL_OPEN},
        run_config=may_send(),
    )


def may_send(*, apply: bool = True) -> dict[str, Any]:
    """The run configuration that says whether a run may send credits."""
    return {"ops": {corrective_credits.op.name: {"config": {"apply": apply}}}}
