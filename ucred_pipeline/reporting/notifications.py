"""Delivers the outbox: each route by itself, each message until its route has taken it.

A message is claimed before it is sent, so that two daemons do not both send it, and kept as delivered
after. A process that ends between the two leaves a message that is sent again when the claim runs out:
rather twice than never.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from ucred_pipeline.alert_routes import AlertRoute
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.ledger.alerts import Claimed, claim_next, mark_delivered, put_back
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.reporting.alert_texts import note_of, trial_note
from ucred_pipeline.reporting.wording import counted

_LEASE: Final = timedelta(minutes=2)
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one message may take, and until when, by the monotonic clock, all of them."""

    message_s: float
    until: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one route was told in one round."""

    route: AlertRoute
    taken: int
    failed: bool

    def __str__(self) -> str:
        told = f"route {self.route.name}: {counted(self.taken, 'message')} sent"
        return f"{told}, one failed" if self.failed else told


class Trial(StrEnum):
    """What became of a test."""

    SENT = "sent"
    FAILED = "FAILED"
    NOT_ASKED = "does not take this severity"


def send_trial(route: AlertRoute, severity: Severity, timeout_s: float) -> Trial:
    """Send a test, past the outbox."""
    if not route.takes(severity):
        return Trial.NOT_ASKED
    return Trial.SENT if route.send(trial_note(severity), timeout_s) else Trial.FAILED


def deliver(
    ledger: Ledger, routes: Sequence[AlertRoute], clock: Clock, patience: Patience
) -> list[Delivered]:
    """Send what is due on every route, side by side; give the rounds in which anything happened."""
    if not routes:
        return []

    def go_round(route: AlertRoute) -> Delivered:
        return _Round(ledger, route, clock, patience).go()

    with ThreadPoolExecutor(len(routes)) as side_by_side:
        rounds = list(side_by_side.map(go_round, routes))
    return [one for one in rounds if one.taken or one.failed]


@dataclass(frozen=True, slots=True)
class _Round:
    """One route is told what is due, until it refuses something or the time is up."""

    ledger: Ledger
    route: AlertRoute
    clock: Clock
    patience: Patience

    def go(self) -> Delivered:
        taken = 0
        while self.clock.monotonic() + self.patience.message_s <= self.patience.until:
            with self.ledger.write() as connection:
                claimed = claim_next(connection, self.route.key, self.clock.now(), _LEASE)
            if claimed is None:
                break
            if not self._send(claimed):
                return Delivered(self.route, taken, failed=True)
            taken += 1
        return Delivered(self.route, taken, failed=False)

    def _send(self, claimed: Claimed) -> bool:
        taken = self.route.send(note_of(claimed.message), self.patience.message_s)
        now = self.clock.now()
        with self.ledger.write() as connection:
            if taken:
                mark_delivered(connection, claimed, now)
            else:
                put_back(connection, claimed, now + _wait(claimed.attempts))
        return taken


def _wait(attempts: int) -> timedelta:
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempts, 8))
    wait: timedelta = longest * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
    return wait
