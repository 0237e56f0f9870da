"""What Dagster loads; wires the rooms and holds no logic."""

import dagster as dg

from ucred_pipeline.orchestration.alerting import alerts_sensor, desk_resource
from ucred_pipeline.orchestration.assets import ASSETS
from ucred_pipeline.orchestration.housekeeping import housekeeping, housekeeping_schedule
from ucred_pipeline.orchestration.jobs import reconciliation, reconciliation_schedule, settle_corrections
from ucred_pipeline.orchestration.resources import pipeline_resource
from ucred_pipeline.orchestration.sensors import SENSORS
from ucred_pipeline.reporting.alerts import Desk

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[reconciliation, settle_corrections, housekeeping],
    schedules=[reconciliation_schedule, housekeeping_schedule],
    sensors=[*SENSORS, alerts_sensor],
    resources={
        "pipeline": pipeline_resource,
        "alert_desk": desk_resource(lambda at: Desk(at.settings, at.ledger, at.clock)),
    },
    executor=dg.in_process_executor,
)
