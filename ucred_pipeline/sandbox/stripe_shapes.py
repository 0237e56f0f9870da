"""The objects of Stripe's API as JSON, in Stripe's own shape."""

from collections.abc import Mapping
from typing import Any, Final

from ucred_pipeline.sandbox.stripe_records import Charge, Dispute, Event, Intent, Refund, Subject

API_VERSION: Final = "2026-10-28"
ACCOUNT: Final = "acct_1SandboxUcred000"
Shape = dict[str, Any]

_ADDRESS: Final = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_EVIDENCE: Final = dict.fromkeys(
    (
        "access_activity_log",
        "billing_address",
        "cancellation_policy",
        "cancellation_policy_disclosure",
        "cancellation_rebuttal",
        "customer_communication",
        "customer_email_address",
        "customer_name",
        "customer_purchase_ip",
        "customer_signature",
        "duplicate_charge_documentation",
        "duplicate_charge_explanation",
        "duplicate_charge_id",
        "product_description",
        "receipt",
        "refund_policy",
        "refund_policy_disclosure",
        "refund_refusal_explanation",
        "service_date",
        "service_documentation",
        "shipping_address",
        "shipping_carrier",
        "shipping_date",
        "shipping_documentation",
        "shipping_tracking_number",
        "uncategorized_file",
        "uncategorized_text",
    )
)


def intent_shape(intent: Intent) -> Shape:
    """A PaymentIntent; its latest charge is an id."""
    paid = intent.status == "succeeded"
    canceled = intent.status == "canceled"
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": intent.amount if paid else 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": intent.created + 86_400 if canceled else None,
        "cancellation_reason": "abandoned" if canceled else None,
        "capture_method": "automatic_async",
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": None,
        "description": intent.description,
        "last_payment_error": None,
        "latest_charge": intent.charge,
        "livemode": False,
        "metadata": dict(intent.metadata),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": "pm" + intent.id[2:] if intent.charge else None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": intent.email,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": intent.status,
        "transfer_data": None,
        "transfer_group": None,
    }


def charge_shape(charge: Charge) -> Shape:
    """A charge; its PaymentIntent is an id."""
    paid = charge.status == "succeeded"
    return {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.amount if paid else 0,
        "amount_refunded": charge.amount_refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": "txn" + charge.id[2:] if paid else None,
        "billing_details": {
            "address": _ADDRESS,
            "email": charge.email,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "UCRED",
        "captured": paid,
        "created": charge.created,
        "currency": charge.currency,
        "customer": None,
        "description": None,
        "disputed": charge.disputed,
        "failure_balance_transaction": None,
        "failure_code": None if paid else "card_declined",
        "failure_message": None if paid else "Your card was declined.",
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": _outcome(paid=paid),
        "paid": paid,
        "payment_intent": charge.intent,
        "payment_method": "pm" + charge.intent[2:],
        "payment_method_details": None,
        "receipt_email": charge.email,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": 0 < charge.amount <= charge.amount_refunded,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": charge.status,
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(*, paid: bool) -> Shape:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": None if paid else "generic_decline",
        "risk_level": "normal",
        "seller_message": "Payment complete." if paid else "The bank did not return any further details.",
        "type": "authorized" if paid else "issuer_declined",
    }


def refund_shape(refund: Refund) -> Shape:
    """A refund; its charge and PaymentIntent are ids."""
    shape = {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": "txn" + refund.id[2:],
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": refund.intent,
        "reason": "requested_by_customer",
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund.status,
        "transfer_reversal": None,
    }
    if refund.status == "failed":
        shape["failure_reason"] = "expired_or_canceled_card"
    return shape


def dispute_shape(dispute: Dispute) -> Shape:
    """A dispute; its charge and PaymentIntent are ids."""
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount,
        "balance_transactions": [],
        "charge": dispute.charge,
        "created": dispute.created,
        "currency": dispute.currency,
        "enhanced_eligibility_types": [],
        "evidence": {**_EVIDENCE, "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": dispute.created + 9 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": dispute.status.startswith("warning_"),
        "livemode": False,
        "metadata": {},
        "payment_intent": dispute.intent,
        "reason": "fraudulent",
        "status": dispute.status,
    }


def event_shape(event: Event) -> Shape:
    """An event with the object as it was then."""
    return {
        "id": event.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": event.created,
        "data": {"object": subject_shape(event.subject)},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": event.type,
    }


def subject_shape(subject: Subject) -> Shape:
    """Any object that events tell of, with ids where something could be expanded."""
    if isinstance(subject, Intent):
        return intent_shape(subject)
    if isinstance(subject, Charge):
        return charge_shape(subject)
    return refund_shape(subject) if isinstance(subject, Refund) else dispute_shape(subject)


def list_shape(url: str, rows: list[Shape], *, has_more: bool) -> Shape:
    """A page of a list."""
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}


def balance_shape() -> Shape:
    """The account's balance, which nobody here looks into."""
    amount: Mapping[str, Any] = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
    return {"object": "balance", "available": [amount], "livemode": False, "pending": [amount]}
