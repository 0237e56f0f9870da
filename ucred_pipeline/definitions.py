"""What Dagster loads; wires the rooms and holds no logic."""

import dagster as dg

from ucred_pipeline.orchestration.assets import ASSETS
from ucred_pipeline.orchestration.housekeeping import housekeeping, housekeeping_schedule
from ucred_pipeline.orchestration.jobs import reconciliation, reconciliation_schedule
from ucred_pipeline.orchestration.resources import pipeline_resource

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[reconciliation, housekeeping],
    schedules=[reconciliation_schedule, housekeeping_schedule],
    resources={"pipeline": pipeline_resource},
    executor=dg.in_process_executor,
)
