"""What Stripe's rows become, and which of them are refused."""

from datetime import UTC, datetime

import pytest

from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.stripe_objects import Fields, Reversals, read_intent
from ucred_pipeline_tests.sources.small_stripe import NOON, Row, dispute, intent, refund


def settled(row: Row, *reversals: Row) -> Payment:
    """Make a payment of an intent and its refunds and disputes."""
    known = Reversals()
    for each in reversals:
        add = known.add_refund if each["object"] == "refund" else known.add_dispute
        add(Fields(each))
    return read_intent(Fields(row)).settled(known.of(row["id"]))


def test_a_payment_has_what_stripe_says() -> None:
    """Every field of a payment comes from the row, and nothing else does."""
    payment = settled(intent("a"))

    assert payment == Payment(
        id="pi_a",
        created=datetime.fromtimestamp(NOON, UTC),
        status="succeeded",
        currency="usd",
        received=3500,
        refunded=0,
        dispute=Dispute.NONE,
        paid=datetime.fromtimestamp(NOON + 1, UTC),
        receipt_email="a@example.com",
        metadata={"rarity_tier": "rare"},
    )


@pytest.mark.parametrize("status", ["requires_payment_method", "processing", "canceled"])
def test_what_has_not_succeeded_was_never_paid(status: str) -> None:
    """A declined or a pending charge is no payment, though it has a time."""
    assert settled(intent("a", status=status, amount_received=0)).paid is None


def test_an_intent_without_a_charge_is_a_payment_too() -> None:
    """Nobody has tried to pay yet."""
    payment = settled(intent("a", status="requires_payment_method", amount_received=0, latest_charge=None))

    assert (payment.received, payment.refunded, payment.dispute, payment.paid) == (0, 0, Dispute.NONE, None)


@pytest.mark.parametrize(
    "statuses, refunded",
    [
        (["succeeded"], 1000),
        (["pending"], 1000),
        (["requires_action"], 1000),
        ([None], 1000),
        (["a new status"], 1000),
        (["failed"], 0),
        (["canceled"], 0),
        (["failed", "succeeded", "pending", "canceled"], 2000),
    ],
)
def test_refunds_that_stand_are_counted(statuses: list[str | None], refunded: int) -> None:
    """Only a refund that failed or was cancelled gave the money back."""
    refunds = [refund("a", 1000, status, NOON + n) for n, status in enumerate(statuses)]

    assert settled(intent("a", amount_refunded=refunded), *refunds).refunded == refunded


@pytest.mark.parametrize(
    "statuses, worst",
    [
        (["warning_needs_response"], Dispute.WARNING),
        (["warning_under_review"], Dispute.WARNING),
        (["warning_closed"], Dispute.WARNING),
        (["prevented"], Dispute.WARNING),
        (["needs_response"], Dispute.OPEN),
        (["under_review"], Dispute.OPEN),
        (["won"], Dispute.WON),
        (["lost"], Dispute.LOST),
        (["a new status"], Dispute.OPEN),
        (["won", "warning_closed"], Dispute.WON),
        (["warning_closed", "won", "under_review"], Dispute.OPEN),
        (["under_review", "lost", "won"], Dispute.LOST),
    ],
)
def test_the_worst_dispute_stands(statuses: list[str], worst: Dispute) -> None:
    """Of several disputes the worst counts, and an unknown status counts as open."""
    disputes = [dispute("a", status) for status in statuses]

    assert settled(intent("a", disputed=True), *disputes).dispute is worst


@pytest.mark.parametrize(
    "charge, refunded, standing",
    [
        ({"amount_refunded": 1200}, 1200, Dispute.NONE),
        ({"refunded": True}, 3500, Dispute.NONE),
        ({"disputed": True}, 0, Dispute.OPEN),
    ],
)
def test_the_charge_counts_where_the_lists_have_nothing(
    charge: dict[str, object], refunded: int, standing: Dispute
) -> None:
    """A refund or a dispute that only the charge shows is not forgotten."""
    payment = settled(intent("a", NOON, **charge))

    assert (payment.refunded, payment.dispute) == (refunded, standing)


def test_a_refund_of_a_bare_charge_is_nobodys() -> None:
    """Charges of other products may have no PaymentIntent."""
    assert settled(intent("a"), {**refund("a"), "payment_intent": None}).refunded == 0


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"created": "yesterday"}, "created"),
        ({"created": 10**15}, "created"),
        ({"amount_received": None}, "amount_received"),
        ({"amount_received": -1}, "amount_received"),
        ({"amount_received": True}, "amount_received"),
        ({"amount_received": 35.0}, "amount_received"),
        ({"status": None}, "status"),
        ({"currency": 7}, "currency"),
        ({"receipt_email": 7}, "receipt_email"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"latest_charge": "ch_not_expanded"}, "latest_charge"),
        ({"latest_charge": {"id": "ch_a", "created": NOON, "refunded": False}}, "amount_refunded"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(changes: Row, field: str) -> None:
    """What Stripe does not document is refused, with the field and the object, without its value."""
    with pytest.raises(SourceUnreadable, match=rf"`{field}` of (pi_a|ch_a) is not") as refusal:
        read_intent(Fields({**intent("a"), **changes}))

    assert "yesterday" not in str(refusal.value)


@pytest.mark.parametrize("field", ["id", "created", "amount_received", "status", "currency", "latest_charge"])
def test_a_missing_field_is_named(field: str) -> None:
    """A row without a field that is needed is no row."""
    row = intent("a")
    del row[field]

    with pytest.raises(SourceUnreadable, match=f"`{field}` of"):
        read_intent(Fields(row))
