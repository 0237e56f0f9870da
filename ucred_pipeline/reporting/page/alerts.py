"""What the page shows of the alerts, whoever evaluates them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from ucred_pipeline.reporting.page.figures import State


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert that fires, or that ceased to; `told` is its sentence, without anybody's address."""

    title: str
    state: State
    told: str
    fired: datetime
    resolved: datetime | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class SeenAlerts:
    """The alerts that fire, the gravest first, and those that ceased to not long ago."""

    firing: Sequence[SeenAlert]
    recent: Sequence[SeenAlert]


class AlertsReader(Protocol):
    """Reads the alerts from the ledger."""

    def __call__(self, connection: Connection, now: datetime) -> SeenAlerts | None:
        """Give the alerts; None where nobody evaluates them yet."""
        ...


def not_evaluated(connection: Connection, now: datetime) -> None:
    """Say that no alerts are evaluated."""
