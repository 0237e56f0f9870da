"""Events: pointers to the PaymentIntents that changed, never the change itself.

An event shows its object at the API version of its day, so only the id is taken from it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ucred_pipeline.sources.stripe_objects import Fields

#: Stripe keeps events for 30 days; whoever asks for older ones needs a sweep instead.
EVENTS_REACH: Final = timedelta(days=29)
#: Stripe's lists are eventually consistent: what is younger than this may be missing.
SETTLING: Final = timedelta(seconds=60)
#: At most 20, as Stripe allows.
EVENT_TYPES: Final = (
    "payment_intent.created",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What an event is about: a PaymentIntent, or a charge whose PaymentIntent it does not say."""

    payment_intent: str | None
    charge: str | None


def pointer_of(event: Fields) -> Pointer:
    """Read which PaymentIntent an event is about."""
    subject = event.inner("data").inner("object")
    kind = subject.text("object")
    if kind == "payment_intent":
        return Pointer(subject.id, None)
    intent = subject.reference("payment_intent") if "payment_intent" in subject else None
    if kind == "charge":
        return Pointer(intent, subject.id)
    return Pointer(intent, subject.reference("charge"))
