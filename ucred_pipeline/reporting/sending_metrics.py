"""What keeps the pipeline from sending, as metrics: failed runs, holds, gates, plans, breaker, token."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import Connection

from ucred_pipeline.domain.thresholds import Measure
from ucred_pipeline.ledger.measures import Windows, read_measures
from ucred_pipeline.ledger.safety import HoldKind, open_holds

_COUNTED: Final[Mapping[Measure, tuple[str, str]]] = {
    Measure.FAILED_RUNS: ("ucred_failed_runs", "Runs that failed, of the last hours that the settings name."),
    Measure.GATES_CLOSED: ("ucred_gates_closed", "Whether a gate kept the newest run from sending (1)."),
    Measure.PLANS_WITHHELD: ("ucred_withheld_plans", "Plans over a limit that wait for an approval."),
    Measure.BREAKER_OPENINGS: ("ucred_breaker_openings", "Times in a row that the breaker has opened."),
    Measure.TOKEN_REFUSED: ("ucred_token_refused", "Whether the indexer refused the token (1)."),
}


def sending_metrics(connection: Connection, windows: Windows, now: datetime) -> Iterator[GaugeMetricFamily]:
    """Read them at one moment; the built-in alerts rest on the same measures."""
    readings = read_measures(connection, _COUNTED, windows, now)
    for measure, (name, told) in _COUNTED.items():
        value = readings[measure].value
        if value is not None:
            yield GaugeMetricFamily(name, told, value=value)
    yield _holds(connection)


def _holds(connection: Connection) -> GaugeMetricFamily:
    """Every kind is there, also those of which no hold is in force."""
    family = GaugeMetricFamily("ucred_holds", "Holds in force, by why they were raised.", labels=["kind"])
    kinds = [hold.kind for hold in open_holds(connection)]
    for kind in HoldKind:
        family.add_metric([kind.value], kinds.count(kind))
    return family
