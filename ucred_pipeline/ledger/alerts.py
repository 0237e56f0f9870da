"""Alerts as they stand, who silenced them, and the outbox of messages that wait for their route.

A change of alerts and the messages that it means are written in one transaction. A message waits until
its route has taken it; those of one alert go to a route in the order in which they were written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from ucred_pipeline.domain.alert_states import KEPT, Alert, Event
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.reads import leave_note, note
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import alerts, outbox, silences
from ucred_pipeline.ledger.upsert import chunks, row_of, upsert

#: The note of when alerts were last evaluated.
_LAST_LOOK: Final = "alerts_last_look"
#: What lies further ahead than any message waits or is claimed for, a clock wrote that was ahead.
_ASTRAY: Final = timedelta(minutes=10)
_ROWS: Final = 500
_WAITS: Final[ColumnElement[bool]] = outbox.c.delivered.is_(None)
#: A silence of this name is one of every alert.
EVERYTHING: Final = "all"


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is sent of the alerts of a name until it ends."""

    name: str
    since: datetime
    until: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """What one route is to be told; the route is a hash, for an address may hold a secret."""

    alert: str
    route: str
    event: Event
    severity: Severity
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that one process delivers; `attempts` counts the tries before this one."""

    id: int
    attempts: int
    message: Message


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one route was told, and what it still waits for."""

    waiting: int
    oldest: datetime | None
    attempts: int
    last_delivered: datetime | None


def may_look(connection: Connection, now: datetime, least: timedelta) -> bool:
    """Whether the last look is long enough ago; if so, this one counts, and a second at once does not."""
    last = note(connection, _LAST_LOOK)
    if last is not None and abs(now - from_micros(last)) < least:
        return False
    leave_note(connection, _LAST_LOOK, to_micros(now))
    return True


def last_look(connection: Connection) -> datetime | None:
    """When the alerts were last evaluated."""
    last = note(connection, _LAST_LOOK)
    return None if last is None else from_micros(last)


def read_alerts(connection: Connection) -> dict[str, Alert]:
    """Every alert that is kept, by its key."""
    return {row["key"]: _alert(row) for row in connection.execute(select(alerts)).mappings()}


def firing_alerts(connection: Connection, most: int) -> tuple[list[Alert], int]:
    """The alerts that fire, the gravest and oldest first, no more than so many; and how many there are."""
    fires = alerts.c.fired.is_not(None) & alerts.c.resolved.is_(None)
    ranks = case({severity.value: -severity.rank for severity in Severity}, value=alerts.c.severity)
    chosen = select(alerts).where(fires).order_by(ranks, alerts.c.fired, alerts.c.key).limit(most)
    count = connection.execute(select(func.count()).select_from(alerts).where(fires)).scalar_one()
    return [_alert(row) for row in connection.execute(chosen).mappings()], count


def resolved_alerts(connection: Connection, since: datetime, most: int) -> list[Alert]:
    """The alerts that ceased to fire since then, the newest first, no more than so many."""
    chosen = select(alerts).where(alerts.c.resolved > since).order_by(alerts.c.resolved.desc(), alerts.c.key)
    return [_alert(row) for row in connection.execute(chosen.limit(most)).mappings()]


def save_alerts(connection: Connection, before: Mapping[str, Alert], after: Mapping[str, Alert]) -> None:
    """Keep the alerts that changed, and forget those that are over."""
    changed = [row_of(alert) for key, alert in after.items() if before.get(key) != alert]
    for part in range(0, len(changed), _ROWS):
        upsert(connection, alerts, changed[part : part + _ROWS])
    for keys in chunks(before.keys() - after.keys()):
        connection.execute(delete(alerts).where(alerts.c.key.in_(keys)))


def find_alerts(connection: Connection, beginning: str) -> list[Alert]:
    """The alerts whose key begins so, or whose name it is."""
    named = alerts.c.key.startswith(beginning, autoescape=True) | (alerts.c.name == beginning)
    chosen = select(alerts).where(named).order_by(alerts.c.key)
    return [_alert(row) for row in connection.execute(chosen).mappings()]


def acknowledge(connection: Connection, alert: Alert, signed: Signed) -> None:
    """End the reminders of an alert, until it resolves."""
    acknowledged = {"acknowledged": signed.at, "acknowledged_by": signed.actor}
    connection.execute(update(alerts).where(alerts.c.key == alert.key).values(acknowledged))
    told = {"reason": signed.reason, "name": alert.name}
    record(connection, Entry(signed.at, signed.actor, f"alert:{alert.key}", "acknowledged", told))


def silence(connection: Connection, name: str, until: datetime, signed: Signed) -> None:
    """Send nothing of the alerts of a name until then; it takes the place of an earlier silence."""
    begun = {"name": name, "since": signed.at, "until": until, "actor": signed.actor, "reason": signed.reason}
    earlier = (silences.c.name == name) & (silences.c.until > signed.at)
    connection.execute(update(silences).where(earlier).values(until=signed.at))
    connection.execute(insert(silences).values(begun))
    told = {"reason": signed.reason, "until": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    record(connection, Entry(signed.at, signed.actor, f"silence:{name}", "begun", told))


def silences_at(connection: Connection, now: datetime) -> list[Silence]:
    """The silences in force, the one that ends first first; one that has yet to begin is not."""
    in_force = (silences.c.since <= now) & (silences.c.until > now)
    chosen = select(silences).where(in_force).order_by(silences.c.until, silences.c.id)
    return [
        Silence(row.name, row.since, row.until, row.actor, row.reason) for row in connection.execute(chosen)
    ]


def post(connection: Connection, messages: Sequence[Message], now: datetime) -> None:
    """Put messages into the outbox.

    A reminder is left out where an earlier message of its alert still waits for the route, for that
    one says as much.
    """
    waiting = {
        (row.alert, row.route)
        for row in connection.execute(select(outbox.c.alert, outbox.c.route).where(_WAITS).distinct())
    }
    rows = [
        row_of(message) | {"created": now, "due": now, "attempts": 0}
        for message in messages
        if message.event is not Event.REMINDER or (message.alert, message.route) not in waiting
    ]
    if rows:
        connection.execute(insert(outbox), rows)


def claim_next(connection: Connection, route: str, now: datetime, lease: timedelta) -> Claimed | None:
    """Take the oldest message that is due for a route; nobody else takes it while the lease lasts.

    One that nobody has tried to send is due, whatever the clock said when it was written.
    """
    earlier = outbox.alias("earlier")
    is_first = ~exists().where(
        earlier.c.alert == outbox.c.alert,
        earlier.c.route == outbox.c.route,
        earlier.c.delivered.is_(None),
        earlier.c.id < outbox.c.id,
    )
    is_free = or_(outbox.c.claimed_until.is_(None), _is_over(outbox.c.claimed_until, now))
    is_due = or_(outbox.c.attempts == 0, _is_over(outbox.c.due, now))
    due = and_(outbox.c.route == route, _WAITS, is_due, is_free, is_first)
    row = connection.execute(select(outbox).where(due).order_by(outbox.c.id).limit(1)).first()
    if row is None:
        return None
    connection.execute(update(outbox).where(outbox.c.id == row.id).values(claimed_until=now + lease))
    event, severity = Event(row.event), Severity(row.severity)
    return Claimed(row.id, row.attempts, Message(row.alert, row.route, event, severity, row.title, row.body))


def _is_over(end: Column[datetime], now: datetime) -> ColumnElement[bool]:
    """Whether a wait has come to its end, or its end was written by a clock that was ahead."""
    return or_(end <= now, end > now + _ASTRAY)


def mark_delivered(connection: Connection, claimed: Claimed, now: datetime) -> None:
    """Keep that a route has taken a message."""
    done = {"delivered": now, "claimed_until": None, "attempts": claimed.attempts + 1}
    connection.execute(update(outbox).where(outbox.c.id == claimed.id).values(done))


def put_back(connection: Connection, claimed: Claimed, due: datetime) -> None:
    """Keep that a route has not taken a message, and when to try again."""
    waits = {"due": due, "claimed_until": None, "attempts": claimed.attempts + 1}
    connection.execute(update(outbox).where(outbox.c.id == claimed.id).values(waits))


def waiting_since(connection: Connection) -> dict[str, datetime]:
    """Since when the oldest message waits for each route."""
    oldest = select(outbox.c.route, func.min(outbox.c.created)).where(_WAITS).group_by(outbox.c.route)
    return {route: since for route, since in connection.execute(oldest)}  # noqa: C416 - rows into pairs


def backlogs(connection: Connection) -> dict[str, Backlog]:
    """What each route was told, and what it still waits for."""
    waits = func.count().filter(_WAITS)
    chosen = select(
        outbox.c.route,
        waits,
        func.min(outbox.c.created).filter(_WAITS),
        func.max(outbox.c.attempts).filter(_WAITS),
        func.max(outbox.c.delivered),
    ).group_by(outbox.c.route)
    return {
        route: Backlog(waiting, oldest, tries or 0, last)
        for route, waiting, oldest, tries, last in connection.execute(chosen)
    }


def forget_messages(connection: Connection, now: datetime) -> None:
    """Forget the messages that are too old to be of use to anybody, and the silences that ended with them.

    A silence that a clock began that was ahead is forgotten too, or it would begin once more.
    """
    connection.execute(delete(outbox).where(outbox.c.created < now - KEPT))
    over = (silences.c.until < now - KEPT) | (silences.c.since > now + _ASTRAY)
    connection.execute(delete(silences).where(over))


def _alert(row: RowMapping) -> Alert:
    told = {name: row[name] for name in Alert.__dataclass_fields__}
    return Alert(**told | {"severity": Severity(row["severity"])})
