"""The sensor that has the alerts looked at and sent, every minute."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import dagster as dg

from ucred_pipeline.domain.alerts import EVERY
from ucred_pipeline.orchestration.failing import without_secrets
from ucred_pipeline.orchestration.opening import open_pipeline
from ucred_pipeline.orchestration.pipeline import Pipeline

#: Dagster ends a tick after 60 s.
_WITHIN_S: Final = 45


class AlertDesk(Protocol):
    """Where alerts are raised and sent."""

    def tend(self, within_s: float) -> str:
        """Look, and send what is due, within a time; say what came of it."""
        ...


def desk_resource(desk_of: Callable[[Pipeline], AlertDesk]) -> dg.ResourceDefinition:
    """Give the desk to the sensor, on a pipeline that is open for the length of a tick."""

    @dg.resource(description="Where alerts are raised and sent.")
    @contextmanager
    def alert_desk(_context: dg.InitResourceContext) -> Iterator[AlertDesk]:
        with open_pipeline() as pipeline:
            yield desk_of(pipeline)

    return alert_desk


@dg.sensor(
    minimum_interval_seconds=int(EVERY.total_seconds()),
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def alerts_sensor(alert_desk: dg.ResourceParam[AlertDesk]) -> dg.SkipReason:
    """Look at every alert's measure each minute, and send what is due; it starts no run."""
    with without_secrets():
        return dg.SkipReason(alert_desk.tend(_WITHIN_S))
