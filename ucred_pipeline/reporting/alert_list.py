"""The alerts as they stand, and what of them was sent: as a document, and for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from sqlalchemy import Connection

from ucred_pipeline.alert_routes import Routes
from ucred_pipeline.domain.alert_states import Alert
from ucred_pipeline.domain.alerts import Severity, anchor_of
from ucred_pipeline.ledger.alerts import (
    EVERYTHING,
    Backlog,
    Silence,
    backlogs,
    last_look,
    read_alerts,
    silences_at,
)
from ucred_pipeline.reporting.terminal import part, plain
from ucred_pipeline.reporting.wording import counted, iso, lasting, seconds_since

#: What ended within this time is still shown.
_RECENT: Final = timedelta(days=1)
_MOST: Final = 50
_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": ""}


def document(connection: Connection, routes: Routes, now: datetime) -> dict[str, Any]:
    """Give the alerts that fire, the gravest and oldest first, and those that ended within a day."""
    silences = silences_at(connection, now)
    shown = [alert for alert in read_alerts(connection).values() if _is_shown(alert, now)]
    looked = last_look(connection)
    return {
        "alerts": [_alert(alert, silences, now) for alert in sorted(shown, key=_order)],
        "silences": [_silence(silence) for silence in silences],
        "routes": _routes(routes, backlogs(connection), now),
        "route_problems": list(routes.problems),
        "last_look": iso(looked) if looked else None,
        "last_look_age_s": seconds_since(looked, now) if looked else None,
    }


def _is_shown(alert: Alert, now: datetime) -> bool:
    return alert.is_firing or (alert.resolved is not None and alert.resolved > now - _RECENT)


def _order(alert: Alert) -> tuple[bool, int, datetime | None, str]:
    return not alert.is_firing, -alert.severity.rank, alert.fired, alert.key


def _alert(alert: Alert, silences: Sequence[Silence], now: datetime) -> dict[str, Any]:
    silence = _silence_of(alert, silences)
    return {
        "id": alert.key,
        "name": alert.name,
        "labels": dict(alert.labels),
        "severity": alert.severity.value,
        "state": _state(alert, silence),
        "told": alert.told,
        "fired": iso(alert.fired) if alert.fired else None,
        "resolved": iso(alert.resolved) if alert.resolved else None,
        "age_s": seconds_since(alert.resolved or alert.fired or now, now),
        "acknowledged": iso(alert.acknowledged) if alert.acknowledged else None,
        "acknowledged_by": alert.acknowledged_by,
        "silenced_until": iso(silence.until) if silence else None,
        "sent": alert.is_told_of or (alert.resolved is not None and alert.announced is not None),
        "what_to_do": anchor_of(alert.name),
    }


def _silence_of(alert: Alert, silences: Sequence[Silence]) -> Silence | None:
    """The silence that holds an alert back the longest."""
    of_it = [silence for silence in silences if silence.name in {EVERYTHING, alert.name, alert.key}]
    return max(of_it, key=lambda silence: silence.until, default=None)


def _state(alert: Alert, silence: Silence | None) -> str:
    if not alert.is_firing:
        return "resolved"
    if silence is not None:
        return "silenced"
    if alert.acknowledged is not None:
        return "acknowledged"
    return "withheld" if alert.withheld else "firing"


def _silence(silence: Silence) -> dict[str, Any]:
    return {
        "name": silence.name,
        "since": iso(silence.since),
        "until": iso(silence.until),
        "by": silence.actor,
        "reason": silence.reason,
    }


def _routes(routes: Routes, found: Mapping[str, Backlog], now: datetime) -> list[dict[str, Any]]:
    """Every route that there is, and those that are gone while messages still wait for them."""
    known = {route.key: route for route in routes.usable}
    rows = [(route.name, route.severities, found.get(key)) for key, route in known.items()]
    rows += [
        (f"{key[:8]}, which UCRED_ALERT_URLS does not name any more", frozenset(), backlog)
        for key, backlog in found.items()
        if key not in known and backlog.waiting
    ]
    return [_route(name, severities, backlog, now) for name, severities, backlog in rows]


def _route(
    name: str, severities: frozenset[Severity], backlog: Backlog | None, now: datetime
) -> dict[str, Any]:
    last = backlog.last_delivered if backlog else None
    return {
        "route": name,
        "severities": [severity.value for severity in Severity if severity in severities],
        "waiting": backlog.waiting if backlog else 0,
        "waiting_s": seconds_since(backlog.oldest, now) if backlog and backlog.oldest else None,
        "tries": backlog.attempts if backlog else 0,
        "last_delivered": iso(last) if last else None,
    }


def render(told: Mapping[str, Any]) -> RenderableType:
    """Lay the list out for a terminal."""
    return Group(
        *_alert_parts(told["alerts"]),
        *_silence_parts(told["silences"]),
        part("Routes", *_route_lines(told)),
        plain(_looked(told)),
    )


def _alert_parts(alerts: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    if not any(alert["resolved"] is None for alert in alerts):
        yield plain("No alert fires.", "bold")
        yield ""
    if not alerts:
        return
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("ALERT", "STATE", "FOR", "WHAT"):
        grid.add_column(name, no_wrap=name != "WHAT", overflow="fold")
    for alert in alerts[:_MOST]:
        what = f"{alert['name']}: {alert['told']}"
        state = f"{alert['severity']}, {alert['state']}"
        style = _STYLES[alert["severity"]] if alert["resolved"] is None else "dim"
        grid.add_row(plain(alert["id"]), plain(state, style), plain(lasting(alert["age_s"])), plain(what))
    yield grid
    if len(alerts) > _MOST:
        yield plain(f"{len(alerts) - _MOST:,} more: ucred alerts --json")
    yield ""


def _silence_parts(silences: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    if silences:
        told = (f"{one['name']} until {one['until']}, by {one['by']}: {one['reason']}" for one in silences)
        yield part("Silences", *map(plain, told))


def _route_lines(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    for route in told["routes"]:
        takes = ", ".join(route["severities"]) or "nothing"
        waits = ""
        if route["waiting"]:
            since = lasting(route["waiting_s"])
            waits = f"; {counted(route['waiting'], 'message')} waiting, the oldest for {since}"
        yield plain(f"{route['route']} takes {takes}{waits}")
    for problem in told["route_problems"]:
        yield plain(problem, "bold red")
    if not told["routes"] and not told["route_problems"]:
        yield plain("none: set UCRED_ALERT_URLS, or nobody is told")


def _looked(told: Mapping[str, Any]) -> str:
    age = told["last_look_age_s"]
    if age is None:
        return "Nobody has looked yet: Dagster's alerts_sensor looks every minute."
    return f"Looked {lasting(age)} ago; Dagster's alerts_sensor looks every minute."
