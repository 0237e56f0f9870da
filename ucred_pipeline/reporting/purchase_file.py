"""The file of one purchase: everything that the ledger has on it, read together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, select

from ucred_pipeline.domain.corrections import Correction
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.ledger.correction_rows import corrections_of
from ucred_pipeline.ledger.history import Entry, told_of
from ucred_pipeline.ledger.purchases import BalanceSeen, JudgedPurchase, balance_seen, payment_of
from ucred_pipeline.ledger.schema import (
    attempts,
    breaks,
    credit_lines,
    decisions,
    issuances,
    mint_lines,
    payment_records,
    payments,
    plan_items,
    plans,
    purchases,
)

_Row = TypeVar("_Row")
#: How near to a certificate a line must be that names the account only, to be shown with it.
_NEAR: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SeenCredit:
    """A credit in the indexer's log; one that is not `current` is of a state that is gone."""

    at: datetime
    account: str
    amount: int
    memo: str
    correction: str | None
    attempt: int | None
    new_balance: int
    current: bool


@dataclass(frozen=True, slots=True)
class SeenMint:
    """A try to mint in the payments API's log; a failure names the account only."""

    at: datetime
    outcome: str
    account: str | None
    namespace: str | None


@dataclass(frozen=True, slots=True)
class SeenAttempt:
    """One request of a correction, and what came back."""

    correction: str
    number: int
    state: str
    run_id: str
    amount: int
    memo: str
    build: str
    balance_before: int
    root_before: str
    began: datetime
    settles_after: datetime
    finished: datetime | None
    answer: str | None
    http_status: int | None
    duration_us: int | None
    new_balance: int | None
    state_root: str | None


@dataclass(frozen=True, slots=True)
class SeenPlan:
    """A plan that names the purchase."""

    hash: str
    state: str
    created: datetime
    items: int
    wei: int
    over: Sequence[str]
    approved: datetime | None
    approved_by: str | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class SeenDecision:
    """What a person decided."""

    at: datetime
    actor: str
    decision: str
    reason: str
    epoch: int


@dataclass(frozen=True, slots=True)
class SeenBreak:
    """A break of the purchase, open or resolved."""

    id: str
    kind: str
    first_seen: datetime
    resolved: datetime | None
    resolution: str | None


@dataclass(frozen=True, slots=True)
class PurchaseFile:
    """Everything that the ledger has on one purchase; `other_credits` are the account's that name none."""

    purchase: JudgedPurchase
    judged: datetime | None
    purchases_of_account: int
    payment: Payment | None
    record: PaymentRecord | None
    issuances: Sequence[Issuance]
    credits: Sequence[SeenCredit]
    other_credits: Sequence[SeenCredit]
    mints: Sequence[SeenMint]
    balance: BalanceSeen | None
    corrections: Sequence[Correction]
    attempts: Sequence[SeenAttempt]
    plans: Sequence[SeenPlan]
    decisions: Sequence[SeenDecision]
    breaks: Sequence[SeenBreak]
    history: Sequence[Entry]

    @property
    def open_break(self) -> SeenBreak | None:
        """The break of the purchase that is open, if one is."""
        return next((found for found in self.breaks if found.resolved is None), None)

    def attempts_of(self, correction: Correction) -> list[SeenAttempt]:
        """The requests of one of its corrections, first to last."""
        return [found for found in self.attempts if found.correction == correction.id]


def read_file(connection: Connection, purchase: JudgedPurchase) -> PurchaseFile:
    """Read everything that the ledger has on a purchase."""
    name = purchase.payment_intent
    found = corrections_of(connection, name)
    requests = _attempts(connection, found)
    return PurchaseFile(
        purchase=purchase,
        judged=_judged(connection, name),
        purchases_of_account=_siblings(connection, purchase.judged_with),
        payment=read_payment(connection, name),
        record=read_record(connection, name),
        issuances=_rows(connection, Issuance, issuances, issuances.c.payment_intent == name, "issued"),
        credits=_credits(connection, purchase),
        other_credits=_other_credits(connection, purchase),
        mints=_mints(connection, purchase),
        balance=balance_seen(connection, purchase.account) if purchase.account else None,
        corrections=found,
        attempts=requests,
        plans=_plans(connection, name),
        decisions=_rows(connection, SeenDecision, decisions, decisions.c.payment_intent == name, "at"),
        breaks=_rows(connection, SeenBreak, breaks, breaks.c.payment_intent == name, "first_seen"),
        history=told_of(
            connection,
            *(f"correction:{one.id}" for one in found),
            *(f"attempt:{one.correction}.{one.number}" for one in requests),
        ),
    )


def read_payment(connection: Connection, payment_intent: str) -> Payment | None:
    """Read what Stripe says of a PaymentIntent."""
    chosen = select(payments).where(payments.c.payment_intent == payment_intent)
    row = connection.execute(chosen).mappings().first()
    return payment_of(dict(row)) if row is not None else None


def read_record(connection: Connection, payment_intent: str) -> PaymentRecord | None:
    """Read the payments API's record of a PaymentIntent."""
    chosen = payment_records.c.payment_intent == payment_intent
    return next(iter(_rows(connection, PaymentRecord, payment_records, chosen, "created")), None)


def _rows(
    connection: Connection, kind: type[_Row], table: Table, condition: ColumnElement[bool], order: str
) -> list[_Row]:
    names = list(getattr(kind, "__dataclass_fields__"))  # noqa: B009 - not every type has it
    chosen = select(*(table.c[name] for name in names)).where(condition).order_by(table.c[order])
    return [kind(*row) for row in connection.execute(chosen)]


def _judged(connection: Connection, name: str) -> datetime | None:
    chosen = select(purchases.c.judged).where(purchases.c.payment_intent == name)
    return connection.execute(chosen).scalar()


def _siblings(connection: Connection, judged_with: str) -> int:
    chosen = select(purchases.c.payment_intent).where(purchases.c.judged_with == judged_with)
    return len(connection.execute(chosen).all())


def _credits(connection: Connection, purchase: JudgedPurchase) -> list[SeenCredit]:
    if purchase.namespace is None:
        return []
    named = credit_lines.c.namespace == purchase.namespace
    return _rows(connection, SeenCredit, credit_lines, named, "at")


def _other_credits(connection: Connection, purchase: JudgedPurchase) -> list[SeenCredit]:
    if purchase.account is None:
        return []
    c = credit_lines.c
    unnamed = (c.account == purchase.account) & c.namespace.is_(None) & c.current
    return _rows(connection, SeenCredit, credit_lines, unnamed, "at")


def _mints(connection: Connection, purchase: JudgedPurchase) -> list[SeenMint]:
    """Lines that name the purchase, and those near its certificate that name its account only."""
    m = mint_lines.c
    named = (m.namespace == purchase.namespace) & (m.account == purchase.account)
    if purchase.issued is not None:
        near = m.at.between(purchase.issued - _NEAR, purchase.issued + _NEAR)
        named |= (m.account == purchase.account) & m.namespace.is_(None) & near
    return _rows(connection, SeenMint, mint_lines, named, "at")


def _attempts(connection: Connection, found: Sequence[Correction]) -> list[SeenAttempt]:
    of_these = attempts.c.correction.in_([one.id for one in found])
    return _rows(connection, SeenAttempt, attempts, of_these, "began")


def _plans(connection: Connection, name: str) -> list[SeenPlan]:
    naming = select(plan_items.c.plan).where(plan_items.c.payment_intent == name)
    return _rows(connection, SeenPlan, plans, plans.c.hash.in_(naming), "created")
