"""Corrections and their attempts: the states, and which may follow which.

A correction is the corrective credit of one purchase; an attempt is one request that it made. The
ledger's database enforces the same transitions, whoever writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Protocol

import orjson

from ucred_pipeline.domain.memos import CorrectionKind


class CorrectionState(StrEnum):
    """Where a correction stands."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SENDING = "sending"
    CONFIRMED = "confirmed"
    IN_DOUBT = "in_doubt"
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    EPOCH_CLOSED = "epoch_closed"


class AttemptState(StrEnum):
    """What is known of one request."""

    SENDING = "sending"
    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    IN_DOUBT = "in_doubt"
    RESOLVED_NOT_APPLIED = "resolved_not_applied"
    MOOT = "moot"
    CONTRADICTION = "contradiction"


_C, _A = CorrectionState, AttemptState

#: Under way, or possibly so: at most one correction of an account is in one of these.
ACTIVE: Final = frozenset({_C.CLAIMED, _C.SENDING, _C.IN_DOUBT, _C.QUARANTINED})
#: Ended without a credit of ours; the same correction may be planned again when the evidence turns.
WITHDRAWN: Final = frozenset({_C.SUPERSEDED, _C.CANCELLED})
#: No credit of the purchase, and none to come: another correction of it may be open beside one of these.
NO_CREDIT: Final = WITHDRAWN | {_C.REFUSED, _C.EPOCH_CLOSED}
#: A request that had an effect, or may have had one: at most one attempt of a correction.
LIVE_ATTEMPT: Final = frozenset({_A.SENDING, _A.IN_DOUBT, _A.APPLIED})

CORRECTION_TRANSITIONS: Final[Mapping[CorrectionState, frozenset[CorrectionState]]] = MappingProxyType(
    {
        _C.PLANNED: frozenset({_C.CLAIMED, _C.SUPERSEDED, _C.CANCELLED, _C.EPOCH_CLOSED}),
        _C.CLAIMED: frozenset({_C.SENDING, _C.PLANNED, _C.SUPERSEDED, _C.CANCELLED, _C.EPOCH_CLOSED}),
        _C.SENDING: frozenset({_C.CONFIRMED, _C.PLANNED, _C.REFUSED, _C.IN_DOUBT, _C.EPOCH_CLOSED}),
        _C.IN_DOUBT: frozenset({_C.CONFIRMED, _C.PLANNED, _C.QUARANTINED, _C.EPOCH_CLOSED}),
        _C.QUARANTINED: frozenset({_C.CONFIRMED, _C.PLANNED, _C.EPOCH_CLOSED}),
        _C.REFUSED: frozenset({_C.PLANNED, _C.EPOCH_CLOSED}),
        _C.SUPERSEDED: frozenset({_C.PLANNED, _C.EPOCH_CLOSED}),
        _C.CANCELLED: frozenset({_C.PLANNED, _C.EPOCH_CLOSED}),
        _C.CONFIRMED: frozenset({_C.EPOCH_CLOSED}),
        _C.EPOCH_CLOSED: frozenset(),
    }
)

ATTEMPT_TRANSITIONS: Final[Mapping[AttemptState, frozenset[AttemptState]]] = MappingProxyType(
    {
        _A.SENDING: frozenset({_A.APPLIED, _A.NOT_APPLIED, _A.IN_DOUBT, _A.MOOT}),
        _A.IN_DOUBT: frozenset({_A.APPLIED, _A.RESOLVED_NOT_APPLIED, _A.NOT_APPLIED, _A.MOOT}),
        _A.NOT_APPLIED: frozenset({_A.CONTRADICTION}),
        _A.RESOLVED_NOT_APPLIED: frozenset({_A.CONTRADICTION}),
        _A.APPLIED: frozenset({_A.MOOT}),
        _A.MOOT: frozenset(),
        _A.CONTRADICTION: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One purchase that a plan wants to credit; the amount is in wei."""

    payment_intent: str
    namespace: str
    account: str
    amount: int
    kind: CorrectionKind
    epoch: int


def plan_hash(items: Sequence[PlanItem]) -> str:
    """Name a plan by its content: SHA-256 over its items in the order of their purchases."""
    ordered = sorted(items, key=lambda item: (item.payment_intent, item.kind))
    rows = [[i.payment_intent, i.namespace, i.account, str(i.amount), i.kind, i.epoch] for i in ordered]
    return sha256(orjson.dumps(rows)).hexdigest()


def correction_id(payment_intent: str, kind: CorrectionKind, epoch: int) -> str:
    """Name the one correction of a purchase, kind and epoch: 16 hexadecimal digits, always the same.

    A ledger that lost its rows would name it alike, so a log that shows the name gives it away.
    """
    return sha256(orjson.dumps([payment_intent, kind, epoch])).hexdigest()[:16]


class Credit(Protocol):
    """What one request asks the indexer for; the amount is in wei."""

    @property
    def account(self) -> str:
        """Whose it is."""
        ...

    @property
    def amount(self) -> int:
        """How much, in wei."""
        ...

    @property
    def memo(self) -> str:
        """What the indexer's log says of it."""
        ...


@dataclass(frozen=True, slots=True)
class EpochAnchor:
    """A credit of 1 wei to a fresh account of our own, which is never used again.

    While that account holds it, the indexer has not forgotten the epoch's state.
    """

    account: str
    memo: str
    amount: int = 1


def epoch_anchor(epoch: int, random: str) -> EpochAnchor:
    """Name an anchor; `random` tells it from every other one of the epoch."""
    return EpochAnchor(f"acct:recon:anchor:{epoch}:{random}", f"anchor:{epoch}:{random}")


@dataclass(frozen=True, slots=True)
class Correction:
    """The corrective credit of one purchase, as the ledger has it."""

    id: str
    payment_intent: str
    kind: CorrectionKind
    epoch: int
    namespace: str
    account: str
    amount: int
    state: CorrectionState
    reason: str
    plan: str | None
    created: datetime
    fence: int
    due: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of a correction; `settles_after` is when its absence begins to count.

    `witness` is another account that held `witness_wei` when the request left: while it holds no less, the
    indexer has not forgotten the state that the request was sent to.
    """

    correction: str
    number: int
    state: AttemptState
    account: str
    amount: int
    memo: str
    balance_before: int
    root_before: str
    account_quiet: bool
    witness: str | None
    witness_wei: int | None
    began: datetime
    deadline: datetime
    settles_after: datetime
    fence: int

    @property
    def name(self) -> str:
        """`{correction id}.{number}`, as the memo ends."""
        return f"{self.correction}.{self.number}"
