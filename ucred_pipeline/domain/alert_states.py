"""The life of an alert: it fires, is announced, reminds, is acknowledged or silenced, and resolves.

Pure: from the alerts as they were and what a look at the measures found follow the alerts as they are
and the notices to be sent. What a look knows nothing of stays as it is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ucred_pipeline.domain.alerts import (
    AT_ONCE,
    BREAK,
    FLOOD,
    RESOLVE_AFTER,
    Observation,
    Severity,
    key_of,
)

#: How long an alert is kept after its end.
KEPT: Final = timedelta(days=30)
#: An alert of which somebody was told within this time still counts among those that are told.
_LATELY: Final = timedelta(hours=1)


class Event(StrEnum):
    """What a notice tells of an alert."""

    FIRING = "firing"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands.

    `fired` is when it last began to fire, and `resolved` when that ended. It `is_announced` from the notice
    of its firing until the one of its end; `announced` is when it last was. Where it has begun to fire anew
    since, it has no `remind_at`. A `withheld` alert fires, and is not announced because there are too many.
    """

    key: str
    name: str
    labels: Mapping[str, str]
    severity: Severity
    told: str
    bad_in_a_row: int = 0
    good_in_a_row: int = 0
    fired: datetime | None = None
    resolved: datetime | None = None
    announced: datetime | None = None
    is_announced: bool = False
    remind_at: datetime | None = None
    withheld: bool = False
    acknowledged: datetime | None = None
    acknowledged_by: str | None = None

    @property
    def is_firing(self) -> bool:
        """Whether something is wrong now."""
        return self.fired is not None and self.resolved is None

    @property
    def is_told_of(self) -> bool:
        """Whether the notice of its firing was of the time that it last began to, and of none before."""
        return self.is_announced and self.remind_at is not None

    @property
    def is_one_of_many(self) -> bool:
        """Whether there may be any number of its like, one for each break."""
        return BREAK in self.labels


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told of an alert, as it stood then."""

    event: Event
    alert: Alert


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found; of the alerts whose names are not `covered` it knows nothing."""

    observations: Sequence[Observation]
    covered: frozenset[str]


@dataclass(frozen=True, slots=True)
class Manners:
    """How often is reminded, and how many alerts of single breaks at a time are sent singly at most."""

    reminders: Mapping[Severity, timedelta]
    flood_cap: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """The alerts that there are now, and what is to be sent."""

    alerts: Mapping[str, Alert]
    notices: Sequence[Notice]


#: Tells whether an alert is silenced now.
Silenced = Callable[[Alert], bool]


def advance(
    alerts: Mapping[str, Alert], look: Look, silenced: Silenced, manners: Manners, now: datetime
) -> Advanced:
    """Go on from one look at the measures."""
    turned = _turned(alerts, look, now)
    withheld = _withheld(turned.values(), silenced, manners.flood_cap, now)
    turned |= {key: replace(turned[key], withheld=True) for key in withheld}
    flood = _flood(turned, now, newly=bool(withheld))
    if flood is not None:
        turned[flood.key] = flood
    return _announced(turned, silenced, manners, now)


def _turned(alerts: Mapping[str, Alert], look: Look, now: datetime) -> dict[str, Alert]:
    """The alerts after what was seen; one of which nothing bad was seen, where there was a look, is good."""
    found = {seen.key: seen for seen in look.observations}
    turned = {
        key: _step(alert, found.get(key, _gone(alert)), now)
        if key in found or alert.name in look.covered
        else alert
        for key, alert in alerts.items()
    }
    for key, seen in found.items():
        if key not in alerts and seen.bad:
            new = Alert(key, seen.name, dict(seen.labels), seen.severity, seen.told)
            turned[key] = _step(new, seen, now)
    return turned


def _gone(alert: Alert) -> Observation:
    return Observation(alert.name, alert.severity, bad=False, told=alert.told, labels=alert.labels)


def _step(alert: Alert, seen: Observation, now: datetime) -> Alert:
    if seen.bad is None:
        return alert
    alert = replace(alert, told=seen.told, severity=seen.severity)
    return _worse(alert, seen.fire_after, now) if seen.bad else _better(alert, now)


def _worse(alert: Alert, fire_after: int, now: datetime) -> Alert:
    alert = replace(alert, bad_in_a_row=min(alert.bad_in_a_row + 1, fire_after), good_in_a_row=0)
    if alert.is_firing or alert.bad_in_a_row < fire_after:
        return alert
    return replace(alert, fired=now, resolved=None, remind_at=None)


def _better(alert: Alert, now: datetime) -> Alert:
    alert = replace(alert, bad_in_a_row=0, good_in_a_row=min(alert.good_in_a_row + 1, RESOLVE_AFTER))
    if not alert.is_firing or alert.good_in_a_row < RESOLVE_AFTER:
        return alert
    return replace(alert, resolved=now, withheld=False, acknowledged=None, acknowledged_by=None)


def _wants_announcing(alert: Alert, silenced: Silenced) -> bool:
    return alert.is_firing and not alert.is_told_of and not alert.withheld and not silenced(alert)


def _withheld(alerts: Iterable[Alert], silenced: Silenced, cap: int, now: datetime) -> list[str]:
    """Of the alerts to be announced, those that are kept back: one of many, where there are too many.

    What is alone of its kind, such as a hold, is never kept back, whatever the crowd.
    """
    many = [one for one in alerts if one.is_one_of_many]
    told = sum(_is_told_of_still(one, now) for one in many)
    starting = [one.key for one in many if _wants_announcing(one, silenced)]
    return starting if told + len(starting) > cap else []


def _is_told_of_still(alert: Alert, now: datetime) -> bool:
    """Whether an alert was announced lately, or goes on reminding."""
    lately = alert.announced is not None and now - _LATELY < alert.announced <= now
    return lately or (alert.is_told_of and alert.acknowledged is None)


def _flood(alerts: Mapping[str, Alert], now: datetime, *, newly: bool) -> Alert | None:
    """The one alert that counts those that are withheld; more of them end its acknowledgement."""
    kept = [one for one in alerts.values() if one.withheld]
    flood = alerts.get(key_of(FLOOD, {}))
    if not kept and flood is None:
        return None
    counts = Counter(one.name for one in kept)
    named = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"
    told = f"Alerts that are not sent singly, because there are too many: {named}."
    seen = Observation(FLOOD, Severity.CRITICAL, bad=bool(kept), told=told, fire_after=AT_ONCE)
    flood = _step(flood or Alert(seen.key, FLOOD, {}, seen.severity, told), seen, now)
    return replace(flood, acknowledged=None, acknowledged_by=None) if newly else flood


def _announced(alerts: Mapping[str, Alert], silenced: Silenced, manners: Manners, now: datetime) -> Advanced:
    """Say what is to be sent, the gravest first, and keep that it was."""
    after, notices = dict(alerts), list[Notice]()
    for alert in sorted(alerts.values(), key=lambda one: (-one.severity.rank, one.key)):
        event = _due(alert, silenced, now)
        if event is not None:
            notices.append(Notice(event, alert))
        after[alert.key] = _having_told(alert, event, now + manners.reminders[alert.severity], now)
    return Advanced({key: one for key, one in after.items() if not _is_forgotten(one, now)}, notices)


def _due(alert: Alert, silenced: Silenced, now: datetime) -> Event | None:
    """What is to be told of an alert now; of one that is silenced nothing, until the silence ends."""
    if _wants_announcing(alert, silenced):
        return Event.FIRING
    if not alert.is_announced or silenced(alert):
        return None
    if not alert.is_firing:
        return Event.RESOLVED
    reminding = alert.acknowledged is None and alert.remind_at is not None and alert.remind_at <= now
    return Event.REMINDER if reminding else None


def _is_forgotten(alert: Alert, now: datetime) -> bool:
    """Whether an alert never fired and is well again, or ended long ago."""
    if alert.fired is None:
        return alert.bad_in_a_row == 0
    ended_long_ago = alert.resolved is not None and alert.resolved < now - KEPT
    return ended_long_ago and not alert.is_announced


def _having_told(alert: Alert, event: Event | None, next_at: datetime, now: datetime) -> Alert:
    """The alert after what was told of it; a reminder never waits longer than its interval from now."""
    match event:
        case Event.FIRING:
            return replace(alert, announced=now, is_announced=True, remind_at=next_at)
        case Event.REMINDER:
            return replace(alert, remind_at=next_at)
        case Event.RESOLVED:
            return replace(alert, is_announced=False, remind_at=None)
        case None:
            return replace(alert, remind_at=min(alert.remind_at, next_at) if alert.remind_at else None)
