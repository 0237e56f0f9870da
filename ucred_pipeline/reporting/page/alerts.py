"""The alerts as the page shows them: what fires, the gravest first, and what ceased to within a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ucred_pipeline.domain.alert_states import Alert
from ucred_pipeline.domain.alerts import BREAK, Severity
from ucred_pipeline.ledger.alerts import (
    EVERYTHING,
    Silence,
    firing_alerts,
    last_look,
    resolved_alerts,
    silences_at,
)
from ucred_pipeline.reporting.page.figures import State
from ucred_pipeline.reporting.page.words import words

_RECENT: Final = timedelta(days=1)
_MOST: Final = 8
_MOST_RECENT: Final = 4
_STATES: Final = {
    Severity.CRITICAL: State.CRITICAL,
    Severity.WARNING: State.WARNING,
    Severity.INFO: State.INFO,
}


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert that fires, or that ceased to; `kept_back` says why nobody is reminded of it."""

    title: str
    state: State
    told: str
    fired: datetime
    resolved: datetime | None
    break_id: str | None
    kept_back: str


@dataclass(frozen=True, slots=True)
class SeenAlerts:
    """The gravest alerts that fire, how many do, those that ceased to, and when they were evaluated last."""

    firing: Sequence[SeenAlert]
    count: int
    recent: Sequence[SeenAlert]
    looked: datetime


def see_alerts(connection: Connection, now: datetime) -> SeenAlerts | None:
    """Read the alerts; None where nobody has evaluated them yet."""
    looked = last_look(connection)
    if looked is None:
        return None
    firing, count = firing_alerts(connection, _MOST)
    silences = silences_at(connection, now)
    recent = resolved_alerts(connection, now - _RECENT, _MOST_RECENT)
    return SeenAlerts(
        [_seen(alert, silences, now) for alert in firing],
        count,
        [_seen(alert, [], now) for alert in recent],
        looked,
    )


def _seen(alert: Alert, silences: Sequence[Silence], now: datetime) -> SeenAlert:
    return SeenAlert(
        title=words(alert.name).capitalize(),
        state=_STATES[alert.severity],
        told=alert.told,
        fired=alert.fired or now,
        resolved=alert.resolved,
        break_id=alert.labels.get(BREAK),
        kept_back=_kept_back(alert, silences),
    )


def _kept_back(alert: Alert, silences: Sequence[Silence]) -> str:
    of_it = [silence for silence in silences if silence.name in {EVERYTHING, alert.name, alert.key}]
    if of_it:
        return f"silenced until {max(silence.until for silence in of_it):%Y-%m-%d %H:%M} UTC"
    return f"acknowledged by {alert.acknowledged_by}" if alert.acknowledged_by else ""
