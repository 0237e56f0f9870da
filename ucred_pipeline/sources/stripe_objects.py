"""Stripe's rows, read strictly, and what payments are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.sources.errors import SourceUnreadable

SOURCE: Final = "Stripe"
YEAR_10000: Final = 253_402_300_800

_FALLEN_REFUNDS: Final = frozenset({"failed", "canceled"})
_DISPUTES: Final[Mapping[str, Dispute]] = {
    "warning_needs_response": Dispute.WARNING,
    "warning_under_review": Dispute.WARNING,
    "warning_closed": Dispute.WARNING,
    "prevented": Dispute.WARNING,
    "needs_response": Dispute.OPEN,
    "under_review": Dispute.OPEN,
    "won": Dispute.WON,
    "lost": Dispute.LOST,
}
_WORST_FIRST: Final = (Dispute.LOST, Dispute.OPEN, Dispute.WON, Dispute.WARNING, Dispute.NONE)


class Fields:
    """One object of Stripe's, read field by field; what is missing or of another type is refused by name."""

    __slots__ = ("_row",)

    def __init__(self, row: object) -> None:
        if not isinstance(row, dict):
            raise malformed("an answer", "object", "an object")
        self._row: dict[str, object] = row

    def __contains__(self, field: str) -> bool:
        return field in self._row

    @property
    def id(self) -> str:
        """The object's id."""
        return self.text("id")

    @property
    def created(self) -> int:
        """When the object was created, in whole seconds since 1970."""
        seconds = self.whole("created")
        if seconds >= YEAR_10000:
            raise self._refused("created", "a time in seconds")
        return seconds

    def text(self, field: str) -> str:
        """Read a string."""
        value = self._row.get(field)
        if not isinstance(value, str):
            raise self._refused(field, "a string")
        return value

    def text_or_none(self, field: str) -> str | None:
        """Read a string that may be null."""
        return None if self._null(field) else self.text(field)

    def whole(self, field: str) -> int:
        """Read a whole number that is not negative."""
        value = self._row.get(field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._refused(field, "a whole number, 0 or more")
        return value

    def flag(self, field: str) -> bool:
        """Read true or false."""
        value = self._row.get(field)
        if not isinstance(value, bool):
            raise self._refused(field, "true or false")
        return value

    def inner(self, field: str) -> "Fields":
        """Read an object within this one."""
        value = self._row.get(field)
        if not isinstance(value, dict):
            raise self._refused(field, "an object")
        return Fields(value)

    def inner_or_none(self, field: str) -> "Fields | None":
        """Read an object within this one that may be null."""
        return None if self._null(field) else self.inner(field)

    def list_of_objects(self, field: str) -> list["Fields"]:
        """Read a list of objects."""
        value = self._row.get(field)
        if not isinstance(value, list):
            raise self._refused(field, "a list")
        return [Fields(entry) for entry in value]

    def reference(self, field: str) -> str | None:
        """Read the id of another object, which may be null or stand there expanded."""
        if self._null(field):
            return None
        value = self._row[field]
        return Fields(value).id if isinstance(value, dict) else self.text(field)

    def texts(self, field: str) -> dict[str, str]:
        """Read a map of strings, such as metadata."""
        value = self._row.get(field)
        if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
            raise self._refused(field, "a map of strings")
        return value

    def _null(self, field: str) -> bool:
        if field not in self._row:
            raise self._refused(field, "present")
        return self._row[field] is None

    def _refused(self, field: str, wanted: str) -> SourceUnreadable:
        name = self._row.get("id")
        return malformed(name if isinstance(name, str) else "an object without id", field, wanted)


def malformed(name: str, field: str, wanted: str) -> SourceUnreadable:
    """Say which field of which object is not what Stripe documents."""
    return SourceUnreadable(
        SOURCE,
        f"`{field}` of {name} is not {wanted}",
        "Nothing was decided. Check that STRIPE_API_BASE leads to Stripe's API and to nothing else.",
    )


@dataclass(frozen=True, slots=True)
class Reversal:
    """What the refunds and disputes of one payment amount to; `dispute` is None when it has none."""

    refunds: int = 0
    refunded: int = 0
    dispute: Dispute | None = None


class Reversals:
    """The refunds and disputes that were read, by PaymentIntent."""

    def __init__(self) -> None:
        self._by_intent: dict[str, Reversal] = {}

    @property
    def payment_intents(self) -> frozenset[str]:
        """The payments that were refunded or disputed."""
        return frozenset(self._by_intent)

    def of(self, payment_intent: str) -> Reversal:
        """Give what is known of one payment."""
        return self._by_intent.get(payment_intent, Reversal())

    def add_refund(self, refund: Fields) -> None:
        """Count a refund; one that failed or was cancelled gives the money back."""
        intent, amount = refund.reference("payment_intent"), refund.whole("amount")
        stands = refund.text_or_none("status") not in _FALLEN_REFUNDS
        if intent is not None:
            known = self.of(intent)
            refunded = known.refunded + (amount if stands else 0)
            self._by_intent[intent] = replace(known, refunds=known.refunds + 1, refunded=refunded)

    def add_dispute(self, dispute: Fields) -> None:
        """Count a dispute; of several the worst stands, and an unknown status counts as open."""
        intent = dispute.reference("payment_intent")
        standing = _DISPUTES.get(dispute.text("status"), Dispute.OPEN)
        if intent is not None:
            known = self.of(intent)
            worst = min(standing, known.dispute or Dispute.NONE, key=_WORST_FIRST.index)
            self._by_intent[intent] = replace(known, dispute=worst)


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent, and what its latest charge shows of refunds and disputes."""

    payment: Payment
    shown_refunded: int
    disputed: bool

    @property
    def untouched(self) -> bool:
        """Whether the charge shows neither a refund nor a dispute, so that none need be listed."""
        charge_seen = self.payment.paid is not None or not self.payment.received
        return charge_seen and not self.shown_refunded and not self.disputed

    def agrees_with(self, reversal: Reversal) -> bool:
        """Whether the refunds and disputes listed are the ones that the charge shows."""
        listed = reversal.dispute is not None or not self.disputed
        return listed and reversal.refunded == self.shown_refunded

    def settled(self, reversal: Reversal) -> Payment:
        """Give the payment; where a list has nothing of what the charge shows, the charge counts."""
        unlisted = Dispute.OPEN if self.disputed else Dispute.NONE
        return replace(
            self.payment,
            refunded=reversal.refunded if reversal.refunds else self.shown_refunded,
            dispute=reversal.dispute or unlisted,
        )


def read_intent(row: Fields) -> Intent:
    """Read a PaymentIntent whose `latest_charge` is expanded."""
    received, status = row.whole("amount_received"), row.text("status")
    charge = row.inner_or_none("latest_charge")
    payment = Payment(
        id=row.id,
        created=_moment(row),
        status=status,
        currency=row.text("currency"),
        received=received,
        refunded=0,
        dispute=Dispute.NONE,
        paid=_moment(charge) if charge is not None and status == "succeeded" else None,
        receipt_email=row.text_or_none("receipt_email"),
        metadata=row.texts("metadata"),
    )
    if charge is None:
        return Intent(payment, shown_refunded=0, disputed=False)
    whole_refund = received if charge.flag("refunded") else 0
    return Intent(payment, charge.whole("amount_refunded") or whole_refund, charge.flag("disputed"))


def _moment(row: Fields) -> datetime:
    return datetime.fromtimestamp(row.created, UTC)
