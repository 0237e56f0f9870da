"""What the payments API's own database says: its record of each payment, and the certificates."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

ISSUED: Final = "issued"
VOIDED: Final = "voided"


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A row of `payment_intents`: the payments API knows this PaymentIntent as one of its own.

    `status` is stored there as JSON text; here it is without quotes.
    """

    payment_intent: str
    customer_email: str
    namespace_reserved: str | None
    nil_name: str | None
    status: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Issuance:
    """A row of `issuances`. Only the state `issued` means that a certificate exists.

    `payment_intent` is Stripe's id; an issuance whose payment the database does not have carries
    `unknown:{id of the row it names}` instead. `issued` is the row's `issued_at`, which is first
    written at `pending` and overwritten when the certificate is issued.
    """

    id: str
    payment_intent: str
    namespace: str
    customer_email: str
    nil_name: str | None
    state: str
    issued: datetime
    voided: datetime | None
