"""Payments: what Stripe says was paid, given back, or disputed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Dispute(StrEnum):
    """Where a payment's worst dispute stands."""

    NONE = "none"
    WARNING = "warning"  # an inquiry or a prevented dispute: no money moved
    OPEN = "open"
    WON = "won"
    LOST = "lost"

    @property
    def withdraws(self) -> bool:
        """Whether the customer has, or may keep, the money."""
        return self in {Dispute.OPEN, Dispute.LOST}


@dataclass(frozen=True, slots=True)
class Payment:
    """A PaymentIntent with what its latest charge, refunds and disputes amount to.

    `paid` is when the latest charge was made, which is the nearest that Stripe has to a time of
    success. `received` and `refunded` are in the currency's smallest unit; `refunded` counts only refunds
    that stand or may stand (succeeded, pending, requires_action), not failed or cancelled ones.
    """

    id: str
    created: datetime
    status: str
    currency: str
    received: int
    refunded: int
    dispute: Dispute
    paid: datetime | None
    receipt_email: str | None
    metadata: Mapping[str, str]

    @property
    def succeeded(self) -> bool:
        """Whether the money arrived."""
        return self.status == "succeeded"

    @property
    def fully_refunded(self) -> bool:
        """Whether nothing of the money is left."""
        return self.refunded > 0 and self.refunded >= self.received
