"""The desk of alerts: looks at the measures, keeps what follows in the ledger, and has it delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ucred_pipeline.alert_routes import AlertRoute, Routes, read_routes
from ucred_pipeline.domain.alert_states import (
    Alert,
    Look,
    Manners,
    advance,
)
from ucred_pipeline.domain.alerts import EVERY, Severity
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.ledger.alerts import (
    EVERYTHING,
    forget_messages,
    may_look,
    post,
    read_alerts,
    save_alerts,
    silences_at,
)
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.reporting.alert_recipients import Recipients
from ucred_pipeline.reporting.notifications import Patience, deliver
from ucred_pipeline.reporting.observations import look_at
from ucred_pipeline.reporting.wording import counted
from ucred_pipeline.settings import Rules, Settings

#: Two looks that are closer than this are one: another daemon may be looking as well.
_LEAST: Final = EVERY / 2


@dataclass(frozen=True, slots=True)
class Desk:
    """Where alerts are raised and sent."""

    settings: Settings
    ledger: Ledger
    clock: Clock

    def tend(self, within_s: float) -> str:
        """Look, and send what is due, within a time; say what came of it."""
        until = self.clock.monotonic() + within_s
        routes, timeout_s = routes_of(self.settings), self.settings.rules.alerts.timeout_s
        firing = self.look(routes.usable)
        sent = deliver(self.ledger, routes.usable, self.clock, Patience(timeout_s, until))
        told = [counted(firing, "alert fires", "alerts fire"), *map(str, sent), *routes.problems]
        return "; ".join(told) + "."

    def look(self, routes: Sequence[AlertRoute]) -> int:
        """Look at the measures, and put what is to be told of them into the outbox; count what fires."""
        now, rules = self.clock.now(), self.settings.rules
        with self.ledger.read() as connection:
            found = look_at(connection, rules, [route.key for route in routes], now)
        with self.ledger.write() as connection:
            alerts: Mapping[str, Alert] = read_alerts(connection)
            if may_look(connection, now, _LEAST):
                alerts = self._advance(connection, alerts, found, routes, now)
        return sum(alert.is_firing for alert in alerts.values())

    def _advance(
        self,
        connection: Connection,
        before: Mapping[str, Alert],
        found: Look,
        routes: Sequence[AlertRoute],
        now: datetime,
    ) -> Mapping[str, Alert]:
        """Keep the alerts that follow from a look, and what is to be sent of them, in one transaction."""
        silent = {silence.name for silence in silences_at(connection, now)}

        def silenced(alert: Alert) -> bool:
            return not silent.isdisjoint({EVERYTHING, alert.name, alert.key})

        advanced = advance(before, found, silenced, manners_of(self.settings.rules), now)
        save_alerts(connection, before, advanced.alerts)
        recipients = Recipients.of(connection, routes, now)
        noticed = {notice.alert.key for notice in advanced.notices}
        others = [alert for key, alert in advanced.alerts.items() if key not in noticed]
        messages = recipients.catching_up(others, silenced) + recipients.messages(advanced.notices)
        post(connection, messages, now)
        forget_messages(connection, now)
        return advanced.alerts


def routes_of(settings: Settings) -> Routes:
    """The routes that the settings name."""
    urls = settings.environment.ucred_alert_urls
    return read_routes(urls.get_secret_value() if urls else "")


def manners_of(rules: Rules) -> Manners:
    """How often is reminded, and how much is too much."""
    told = rules.alerts
    reminders = {
        Severity.CRITICAL: timedelta(seconds=told.reminder_critical_s),
        Severity.WARNING: timedelta(seconds=told.reminder_warning_s),
        Severity.INFO: timedelta(seconds=told.reminder_info_s),
    }
    return Manners(reminders, told.flood_cap)
