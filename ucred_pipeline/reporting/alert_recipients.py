"""Which routes are told of an alert: those that take its severity, and of its end those that know of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from sqlalchemy import Connection, func, select

from ucred_pipeline.alert_routes import AlertRoute
from ucred_pipeline.domain.alert_states import KEPT, Alert, Event, Notice
from ucred_pipeline.ledger.alerts import Message
from ucred_pipeline.ledger.schema import outbox
from ucred_pipeline.reporting.alert_texts import message_of


@dataclass(frozen=True, slots=True)
class Recipients:
    """The routes in use, and who knows of which alert: whose newest message in the outbox is not of its end.

    A route that is added, returns, or takes more than it did is told of what fires already. The end goes to
    whoever was told of the beginning, also where the settings have changed since.
    """

    routes: Sequence[AlertRoute]
    knowing: frozenset[tuple[str, str]]
    now: datetime

    @classmethod
    def of(cls, connection: Connection, routes: Sequence[AlertRoute], now: datetime) -> Self:
        """Read from the outbox who was told of what."""
        newest = select(func.max(outbox.c.id)).group_by(outbox.c.alert, outbox.c.route)
        chosen = select(outbox.c.alert, outbox.c.route).where(
            outbox.c.id.in_(newest), outbox.c.event != Event.RESOLVED
        )
        return cls(routes, frozenset((row.alert, row.route) for row in connection.execute(chosen)), now)

    def messages(self, notices: Iterable[Notice]) -> list[Message]:
        """Write each notice for every route that it is for."""
        return [message_of(one, route, self.now) for one in notices for route in self._keys(one)]

    def catching_up(self, alerts: Iterable[Alert], silenced: Callable[[Alert], bool]) -> list[Message]:
        """Tell of what was announced and fires on the routes that do not know of it."""
        return [
            message_of(Notice(Event.FIRING, alert), route, self.now)
            for alert in alerts
            if alert.is_firing and alert.is_told_of and alert.acknowledged is None and not silenced(alert)
            for route in self._taking(alert)
            if (alert.key, route) not in self.knowing
        ]

    def _keys(self, notice: Notice) -> list[str]:
        alert = notice.alert
        if notice.event is not Event.RESOLVED:
            return self._taking(alert)
        is_forgotten = alert.announced is not None and alert.announced < self.now - KEPT
        knowing = {route for key, route in self.knowing if key == alert.key}
        return sorted(knowing.union(self._taking(alert) if is_forgotten else ()))

    def _taking(self, alert: Alert) -> list[str]:
        return [route.key for route in self.routes if route.takes(alert.severity)]
