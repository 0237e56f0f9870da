"""What a message about an alert says: fields from an allow-list, and nothing that somebody else wrote."""

from datetime import datetime
from typing import Final

from ucred_pipeline.alert_routes import Note, Tone
from ucred_pipeline.domain.alert_states import Alert, Event, Notice
from ucred_pipeline.domain.alerts import BREAK, Severity, anchor_of
from ucred_pipeline.ledger.alerts import Message
from ucred_pipeline.reporting.wording import at, lasting, seconds_since

_TONES: Final = {
    Severity.CRITICAL: Tone.FAILURE,
    Severity.WARNING: Tone.WARNING,
    Severity.INFO: Tone.INFO,
}


def message_of(notice: Notice, route: str, now: datetime) -> Message:
    """Write the message of a notice for a route."""
    alert = notice.alert
    return Message(alert.key, route, notice.event, alert.severity, _title(notice), _body(notice, now))


def note_of(message: Message) -> Note:
    """Give a message to a service; what belongs to one alert belongs to one incident."""
    tone = Tone.SUCCESS if message.event is Event.RESOLVED else _TONES[message.severity]
    return Note(message.alert, tone, message.title, message.body)


def trial_note(severity: Severity) -> Note:
    """Say that this is a test."""
    title = f"[TEST, {severity.upper()}] UCRED alerts"
    return Note("test", _TONES[severity], title, "Somebody tests whether alerts arrive. Nothing is wrong.")


def _title(notice: Notice) -> str:
    severity = notice.alert.severity.upper()
    words = {
        Event.FIRING: severity,
        Event.REMINDER: f"{severity}, STILL",
        Event.RESOLVED: "RESOLVED",
    }
    return f"[{words[notice.event]}] UCRED {notice.alert.name}"


def _body(notice: Notice, now: datetime) -> str:
    alert = notice.alert
    return "\n".join((alert.told, *_lines(notice.event, alert, now), f"Alert {alert.key}"))


def _lines(event: Event, alert: Alert, now: datetime) -> tuple[str, ...]:
    since = alert.fired or now
    if event is Event.RESOLVED:
        until = alert.resolved or now
        lasted = lasting(seconds_since(since, until))
        return (f"It fired from {at(since)} to {at(until)} UTC ({lasted}), and is over.",)
    begun = f"It fires since {at(since)} UTC"
    if event is Event.REMINDER:
        lasts = lasting(seconds_since(since, now))
        begun += f" ({lasts}); `ucred alerts ack {alert.key} --by NAME` ends the reminders"
    looking = (f"Look into it: ucred explain {alert.labels[BREAK]}",) if BREAK in alert.labels else ()
    return (f"{begun}.", *looking, f"What to do: {anchor_of(alert.name)}")
