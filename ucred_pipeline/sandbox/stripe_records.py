"""What the Stripe of the sandbox keeps of each object: the little that tells one from another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Statuses of refunds that gave, or may yet give, the money back.
STANDING_REFUNDS: Final = frozenset({"succeeded", "pending", "requires_action"})
#: Statuses of disputes that withdraw the money.
WITHDRAWING_DISPUTES: Final = frozenset({"needs_response", "under_review", "lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One try to take the money of a PaymentIntent."""

    id: str
    created: int
    intent: str
    amount: int
    currency: str
    email: str | None
    status: str = "succeeded"
    amount_refunded: int = 0
    disputed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A PaymentIntent."""

    id: str
    created: int
    amount: int
    currency: str
    email: str | None
    metadata: Mapping[str, str]
    status: str = "requires_payment_method"
    charge: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back, or meant to be."""

    id: str
    created: int
    intent: str
    charge: str
    amount: int
    currency: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A customer's objection at the bank."""

    id: str
    created: int
    intent: str
    charge: str
    amount: int
    currency: str
    status: str


Subject = Charge | Intent | Refund | Dispute


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to an object, kept as the object was at that time."""

    id: str
    created: int
    type: str
    subject: Subject


Record = Subject | Event


def owners_of(record: Record) -> tuple[str, ...]:
    """The PaymentIntent and the charge that a record can be listed by."""
    if isinstance(record, Refund | Dispute):
        return (record.intent, record.charge)
    return (record.intent,) if isinstance(record, Charge) else ()
