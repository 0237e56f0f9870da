"""What Dagster loads; wires the rooms and holds no logic."""

import dagster as dg

from ucred_pipeline.orchestration.assets import ASSETS
from ucred_pipeline.orchestration.jobs import reconciliation, reconciliation_schedule, settle_corrections
from ucred_pipeline.orchestration.resources import pipeline_resource
from ucred_pipeline.orchestration.sensors import SENSORS

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[reconciliation, settle_corrections],
    schedules=[reconciliation_schedule],
    sensors=SENSORS,
    resources={"pipeline": pipeline_resource},
    executor=dg.in_process_executor,
)
