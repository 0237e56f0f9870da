"""A Stripe account: its objects, and the events that tell how they changed."""

import random
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Final

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.sandbox.shelf import Shelf
from ucred_pipeline.sandbox.stripe_records import (
    STANDING_REFUNDS,
    Charge,
    Dispute,
    Event,
    Intent,
    Refund,
    Subject,
)

EVENTS_LIVE: Final = timedelta(days=30)


class StripeAccount:
    """What Stripe keeps. Each change emits the events that Stripe would emit."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self.lock = threading.RLock()
        self.intents: Shelf[Intent] = Shelf()
        self.charges: Shelf[Charge] = Shelf()
        self.refunds: Shelf[Refund] = Shelf()
        self.disputes: Shelf[Dispute] = Shelf()
        self.events: Shelf[Event] = Shelf()
        self._oldest_event = int((clock.now() - EVENTS_LIVE).timestamp())

    def new_id(self, prefix: str) -> str:
        """An id as Stripe makes them."""
        return f"{prefix}_3{self._random.getrandbits(92):023x}"

    def _tell(self, kind: str, subject: Subject, at: int) -> None:
        # What is older than an event lives was told and is gone.
        if at >= self._oldest_event:
            self.events.put(Event(self.new_id("evt"), at, kind, subject))

    def create(self, intent: Intent) -> None:
        """A customer comes to pay."""
        with self.lock:
            self.intents.put(intent)
            self._tell("payment_intent.created", intent, intent.created)

    def intent(self, intent_id: str) -> Intent:
        """The PaymentIntent of an id; KeyError when there is none."""
        intent = self.intents.get(intent_id)
        if intent is None:
            raise KeyError(intent_id)
        return intent

    def process(self, intent_id: str, at: int) -> None:
        """The bank takes its time."""
        with self.lock:
            intent = replace(self.intent(intent_id), status="processing")
            self.intents.put(intent)
            self._tell("payment_intent.processing", intent, at)

    def decline(self, intent_id: str, at: int) -> None:
        """The customer's card is declined."""
        with self.lock:
            charge = self._charged(self.intent(intent_id), at, "failed")
            intent = replace(self.intent(intent_id), charge=charge.id)
            self.intents.put(intent)
            self._tell("charge.failed", charge, at)
            self._tell("payment_intent.payment_failed", intent, at)

    def cancel(self, intent_id: str, at: int) -> None:
        """The PaymentIntent is given up."""
        with self.lock:
            intent = replace(self.intent(intent_id), status="canceled")
            self.intents.put(intent)
            self._tell("payment_intent.canceled", intent, at)

    def succeed(self, intent_id: str, at: int) -> None:
        """The money arrives."""
        with self.lock:
            charge = self._charged(self.intent(intent_id), at, "succeeded")
            intent = replace(self.intent(intent_id), status="succeeded", charge=charge.id)
            self.intents.put(intent)
            self._tell("charge.succeeded", charge, at)
            self._tell("payment_intent.succeeded", intent, at)

    def _charged(self, intent: Intent, at: int, status: str) -> Charge:
        charge = Charge(
            id=self.new_id("ch"),
            created=at,
            intent=intent.id,
            amount=intent.amount,
            currency=intent.currency,
            email=intent.email,
            status=status,
        )
        self.charges.put(charge)
        return charge

    def latest_charge(self, intent_id: str) -> Charge:
        """The charge that a PaymentIntent ended with; KeyError when there is none."""
        charge = self.charges.get(self.intent(intent_id).charge or "")
        if charge is None:
            raise KeyError(intent_id)
        return charge

    def refund(self, intent_id: str, amount: int | None, status: str, at: int) -> str:
        """Give money back, all that is left of it when no amount is named."""
        with self.lock:
            charge = self.latest_charge(intent_id)
            refund = Refund(
                id=self.new_id("re"),
                created=at,
                intent=intent_id,
                charge=charge.id,
                amount=charge.amount - charge.amount_refunded if amount is None else amount,
                currency=charge.currency,
                status="pending" if status == "failed" else status,
            )
            self._tell_refund("refund.created", refund, at)
            if status == "failed":
                # A refund fails days after it was made, and the money comes back.
                self._tell_refund("refund.failed", replace(refund, status="failed"), at)
            return refund.id

    def _tell_refund(self, kind: str, refund: Refund, at: int) -> None:
        self.refunds.put(refund)
        charge = self._refunded(refund.charge)
        self._tell(kind, refund, at)
        if kind == "refund.created":
            self._tell("charge.refunded", charge, at)
        else:
            self._tell("charge.refund.updated", refund, at)

    def _refunded(self, charge_id: str) -> Charge:
        charge = self.charges.get(charge_id)
        if charge is None:
            raise KeyError(charge_id)
        rows = self.refunds.owned_by(charge_id)
        given = sum(refund.amount for refund in rows if refund.status in STANDING_REFUNDS)
        charge = replace(charge, amount_refunded=given)
        self.charges.put(charge)
        return charge

    def dispute(self, intent_id: str, status: str, at: int) -> str:
        """The customer objects; a second call moves the dispute on."""
        with self.lock:
            charge = replace(self.latest_charge(intent_id), disputed=True)
            known = self.disputes.owned_by(charge.id)
            dispute = Dispute(
                id=known[0].id if known else self.new_id("du"),
                created=known[0].created if known else at,
                intent=intent_id,
                charge=charge.id,
                amount=charge.amount,
                currency=charge.currency,
                status=status,
            )
            self.disputes.put(dispute)
            self.charges.put(charge)
            closed = status in {"won", "lost", "warning_closed", "prevented"}
            if not known:
                self._tell("charge.dispute.created", dispute, at)
            if known or closed:
                self._tell("charge.dispute.closed" if closed else "charge.dispute.updated", dispute, at)
            return dispute.id
