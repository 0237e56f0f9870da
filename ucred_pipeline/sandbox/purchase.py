"""What the world remembers of each payment that it made up."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True, kw_only=True)
class Purchase:
    """A payment with what became of it; `credits` counts what names it and came from others."""

    case: str
    payment_intent: str
    local_id: str
    email: str
    cents: int
    created: datetime
    paid: datetime | None = None
    issued: datetime | None = None
    namespace: str | None = None
    foreign: bool = False
    withdrawn: bool = False
    #: The evidence in the logs contradicts itself.
    tangled: bool = False
    #: The database has two certificates for the one payment.
    twice_issued: bool = False
    credits: int = 0
    #: Whether the payments database has the payment.
    known: bool = True
