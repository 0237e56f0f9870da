"""The control totals as they are shown: each whole, what makes it up, and what is unexplained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.ledger.tallies import (
    UNJUDGED,
    ControlTotal,
    breaks_total,
    confirmed_total,
    corrections_total,
    read_tallies,
    requests_total,
)
from ucred_pipeline.reporting.page.words import ucred, words


@dataclass(frozen=True, slots=True)
class ShownTotal:
    """A control total in words."""

    title: str
    whole: str
    parts: Sequence[tuple[str, str]]
    unexplained: str
    ties: bool


@dataclass(frozen=True, slots=True)
class ControlTotals:
    """All of them, and as of when those over every purchase were counted; None before the first judgement."""

    counted: datetime | None
    totals: Sequence[ShownTotal]

    @property
    def all_tie(self) -> bool:
        """Whether nothing is unexplained."""
        return all(total.ties for total in self.totals)


_TITLES: Final[Mapping[str, str]] = {
    "payments": "Payments read from Stripe",
    "certificates": "Certificates read",
    "purchases": "Purchases",
    "owed": "UCRED owed",
    "breaks": "Open breaks",
    "corrections": "Corrections planned",
    "requests": "Requests sent",
    "credited": "UCRED credited by corrections",
}
_IN_WEI: Final = frozenset({"owed", "credited"})
_PARTS: Final[Mapping[str, str]] = {
    "paid": "paid purchases",
    "certified_unpaid": "certified, not paid",
    "never_paid": "never paid, never certified",
    "first": "of a purchase",
    "further": "second ones of a purchase",
    "voided": "voided",
    "begun": "begun, not issued",
    "minted": "credited by the payments API",
    "otherwise": "credited by a correction or by hand",
    "requested": "by requests that took effect",
    UNJUDGED: "not judged yet",
    CorrectionState.PLANNED.value: "waiting",
    CorrectionState.EPOCH_CLOSED.value: "of an earlier epoch",
    AttemptState.APPLIED.value: "took effect",
    AttemptState.RESOLVED_NOT_APPLIED.value: "settled as without effect",
    AttemptState.NOT_APPLIED.value: "without effect",
    AttemptState.MOOT.value: "of an earlier epoch",
    AttemptState.CONTRADICTION.value: "contradicted",
}


def read_totals(connection: Connection) -> ControlTotals:
    """Read the control totals, in the order of the way from payment to credit."""
    tallies = read_tallies(connection)
    if tallies is None:
        return ControlTotals(None, [])
    found = (
        tallies.payments,
        tallies.certificates,
        tallies.purchases,
        tallies.owed,
        breaks_total(connection, tallies),
        corrections_total(connection),
        requests_total(connection),
        confirmed_total(connection),
    )
    return ControlTotals(tallies.at, [_shown(total) for total in found])


def _shown(total: ControlTotal) -> ShownTotal:
    say = _amount if total.name in _IN_WEI else _count
    return ShownTotal(
        title=_TITLES[total.name],
        whole=say(total.whole),
        parts=[(_PARTS.get(name, words(name)), say(part)) for name, part in total.parts.items() if part],
        unexplained=say(total.unexplained),
        ties=total.unexplained == 0,
    )


def _amount(wei: int) -> str:
    return f"-{ucred(-wei)}" if wei < 0 else ucred(wei)


def _count(count: int) -> str:
    return f"{count:,}"
