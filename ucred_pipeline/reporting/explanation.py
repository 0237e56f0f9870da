"""All that is known of a purchase: found by any of its names, explained, and laid out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from sqlalchemy import ColumnElement, Connection, func, select

from ucred_pipeline.domain.accounts import account_of
from ucred_pipeline.domain.issuances import PaymentRecord
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.domain.verdicts import Basis, Finding, Reason, Verdict
from ucred_pipeline.ledger.purchases import JudgedPurchase, find_purchases
from ucred_pipeline.ledger.schema import breaks, corrections, issuances, payment_records, payments, purchases
from ucred_pipeline.reporting.outlook import Outlook, Step, outlook, read_situation
from ucred_pipeline.reporting.purchase_file import (
    PurchaseFile,
    SeenAttempt,
    SeenCredit,
    read_file,
    read_payment,
    read_record,
)
from ucred_pipeline.reporting.terminal import facts, part, plain
from ucred_pipeline.reporting.timeline import PAYMENTS_LOG, Event, days, timeline
from ucred_pipeline.reporting.wording import amount, at, iso, money, ucred
from ucred_pipeline.settings import Rules


@dataclass(frozen=True, slots=True)
class Explained:
    """One purchase: its file, what it means, what happened, and what comes next."""

    file: PurchaseFile
    meaning: str
    timeline: Sequence[Event]
    grace_ends: datetime | None
    outlook: Outlook


@dataclass(frozen=True, slots=True)
class NoPurchase:
    """A payment that is mirrored and is no purchase, and why not."""

    payment_intent: str
    payment: Payment | None
    record: PaymentRecord | None
    told: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that was found under a name; `exact` is False where only other capitals were found."""

    name: str
    exact: bool
    purchases: Sequence[Explained]
    others: Sequence[NoPurchase]


def explain(connection: Connection, name: str, now: datetime, rules: Rules) -> Explanation | None:
    """Find all that is known under a PaymentIntent, a namespace, an account, an address, or a break's id."""
    wanted = name.strip()
    found, exactly = purchases_named(connection, wanted)
    if not found:
        return None
    bought = find_purchases(connection, purchases.c.payment_intent.in_(found))
    known = {purchase.payment_intent for purchase in bought}
    return Explanation(
        name=wanted,
        exact=exactly,
        purchases=[explain_purchase(connection, purchase, now, rules) for purchase in bought],
        others=[no_purchase(connection, other) for other in sorted(set(found) - known)],
    )


def explain_purchase(
    connection: Connection, purchase: JudgedPurchase, now: datetime, rules: Rules
) -> Explained:
    """Explain one purchase."""
    file, grace = read_file(connection, purchase), rules.grace
    return Explained(
        file=file,
        meaning=_meaning(purchase),
        timeline=timeline(file, grace),
        grace_ends=purchase.due_since + grace if purchase.due_since else None,
        outlook=outlook(file, read_situation(connection, now, rules)),
    )


def purchases_named(connection: Connection, name: str) -> tuple[list[str], bool]:
    """The PaymentIntents that a name stands for, and whether it is so spelt; other capitals come second."""
    exactly = _named(connection, name, exact=True)
    return exactly or _named(connection, name, exact=False), bool(exactly)


def _named(connection: Connection, name: str, *, exact: bool) -> list[str]:
    """The PaymentIntents that a name stands for."""
    chosen = (
        select(purchases.c.payment_intent).where(
            _is(purchases.c.payment_intent, name, exact=exact)
            | _is(purchases.c.namespace, name, exact=exact)
            | _is(purchases.c.account, name, exact=exact)
            | _is(purchases.c.account, account_of(name), exact=exact)
        ),
        select(payments.c.payment_intent).where(
            _is(payments.c.payment_intent, name, exact=exact)
            | _is(payments.c.receipt_email, name, exact=exact)
        ),
        select(payment_records.c.payment_intent).where(
            _is(payment_records.c.payment_intent, name, exact=exact)
            | _is(payment_records.c.customer_email, name, exact=exact)
        ),
        select(issuances.c.payment_intent).where(
            _is(issuances.c.namespace, name, exact=exact) | _is(issuances.c.customer_email, name, exact=exact)
        ),
        select(breaks.c.payment_intent).where(breaks.c.id == name),
        select(corrections.c.payment_intent).where(corrections.c.id == name),
    )
    return sorted({found for each in chosen for found in connection.execute(each).scalars()})


def _is(column: ColumnElement[Any], name: str, *, exact: bool) -> ColumnElement[bool]:
    return column == name if exact else func.lower(column) == name.lower()


def _meaning(purchase: JudgedPurchase) -> str:
    if purchase.verdict is None or purchase.basis is None or purchase.reason is None:
        return "It has not been judged yet."
    reason = Reason[purchase.reason.upper()]
    return Finding(Verdict(purchase.verdict), Basis(purchase.basis), reason).explain()


def is_known(connection: Connection, payment_intent: str) -> bool:
    """Whether Stripe or the payments API has a PaymentIntent, be it a purchase or not."""
    stripe, record = read_payment(connection, payment_intent), read_record(connection, payment_intent)
    return stripe is not None or record is not None


def no_purchase(connection: Connection, payment_intent: str) -> NoPurchase:
    """Tell why a payment that is known is no purchase."""
    payment = read_payment(connection, payment_intent)
    if payment is None:
        told = "The payments API has it, Stripe does not, and it has no certificate: it is no purchase."
    else:
        told = (
            f"It has not succeeded at Stripe ({payment.status}), and has no certificate: it is no purchase."
        )
    return NoPurchase(payment_intent, payment, read_record(connection, payment_intent), told)


# For programs


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Give an explanation as a document for programs; amounts of UCRED are decimal strings of wei."""
    return {
        "name": explanation.name,
        "exact": explanation.exact,
        "purchases": [_purchase_json(found) for found in explanation.purchases],
        "payments_without_purchase": [_written(asdict(found)) for found in explanation.others],
    }


def _purchase_json(found: Explained) -> dict[str, Any]:
    file: dict[str, Any] = _written(asdict(found.file))
    bought = file.pop("purchase")
    requests = file.pop("attempts")
    for correction in file["corrections"]:
        correction["attempts"] = [one for one in requests if one["correction"] == correction["id"]]
    return {
        **bought,
        "meaning": found.meaning,
        "grace_ends": _written(found.grace_ends),
        **file,
        "timeline": _written([asdict(event) for event in found.timeline]),
        "outlook": _written(asdict(found.outlook)),
    }


#: Fields that hold wei, and what a document calls them.
_WEI: Final = {
    "entitlement": "entitlement_wei",
    "amount": "amount_wei",
    "wei": "wei",
    "balance_before": "balance_before_wei",
    "new_balance": "new_balance_wei",
}


def _written(value: Any) -> Any:
    """Give a value as JSON has it."""
    match value:
        case datetime():
            return iso(value)
        case Enum():
            return value.value
        case Mapping():
            return {_WEI.get(name, name): _field(name, told) for name, told in value.items()}
        case str() | int() | float() | None:
            return value
        case _:
            return [_written(each) for each in value]


def _field(name: str, value: Any) -> Any:
    return str(value) if name in _WEI and isinstance(value, int) else _written(value)


# For people


def render(explanation: Explanation) -> RenderableType:
    """Lay an explanation out for a terminal."""
    shown: list[RenderableType] = []
    if not explanation.exact:
        told = f'Nothing is named exactly "{explanation.name}". In other capitals, which are another account:'
        shown += [plain(told, "bold"), ""]
    if len(explanation.purchases) > 1:
        shown += [_overview(explanation.purchases), ""]
    shown += [_purchase(found) for found in explanation.purchases]
    shown += [_other(found) for found in explanation.others]
    return Group(*shown)


def _overview(found: Sequence[Explained]) -> RenderableType:
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("PAID ON", "PURCHASE", "VERDICT"):
        grid.add_column(name, no_wrap=name != "PURCHASE", overflow="fold")
    for one in found:
        bought = one.file.purchase
        grid.add_row(
            f"{bought.created:%Y-%m-%d}", plain(_name(bought)), plain(_words(bought.verdict or "not judged"))
        )
    return Group(plain(f"{len(found)} purchases go by this name, oldest first.", "bold"), grid)


def _purchase(found: Explained) -> RenderableType:
    bought = found.file.purchase
    return Group(
        Rule(plain(f"{_name(bought)}", "bold"), align="left", characters="-"),
        "",
        _verdict(found),
        *_outlook(found.outlook),
        part("From payment to credit (times in UTC)", events(found.timeline)),
        part("The purchase", facts([*purchase_facts(found)])),
        part("Evidence", facts([*evidence_facts(found.file)])),
        *_corrections(found.file),
    )


def _verdict(found: Explained) -> RenderableType:
    bought = found.file.purchase
    basis = f", by {bought.basis}" if bought.basis not in {None, Basis.NONE} else ""
    headline = f"{_words(bought.verdict or 'not judged yet').upper()}{basis}"
    return Group(plain(headline, "bold"), Padding(plain(found.meaning), (0, 0, 0, 2)), "")


def _outlook(told: Outlook) -> Iterator[RenderableType]:
    yield part("What will be done", plain(told.will))
    if told.why_not:
        yield part("Why it is not done yet", facts([("-", refusal.says) for refusal in told.why_not]))
    if told.steps:
        yield part("What you can do", *(step(each) for each in told.steps))


def step(one: Step) -> RenderableType:
    """Lay out a command, and below it what it does."""
    return Group(plain(one.command, "bold"), Padding(plain(one.meaning), (0, 0, 0, 4)))


def events(found: Sequence[Event]) -> RenderableType:
    """Lay out a timeline: its days, and within each the events."""
    shown: list[RenderableType] = []
    for day, of_day in days(found):
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, overflow="fold")
        grid.add_column(no_wrap=True, min_width=len(PAYMENTS_LOG))
        for event in of_day:
            grid.add_row(f"{event.at:%H:%M:%S}", plain(event.told), plain(event.source, "dim"))
        shown += [plain(day, "bold"), grid]
    return Group(*shown)


def purchase_facts(found: Explained) -> Iterator[tuple[str, str]]:
    """Tell what was bought, a name and what is known at a time."""
    bought, payment = found.file.purchase, found.file.payment
    yield "PaymentIntent", bought.payment_intent
    yield "namespace", bought.namespace or "none"
    yield "account", bought.account or "unknown"
    if found.file.purchases_of_account > 1:
        yield "", f"one of {found.file.purchases_of_account} purchases of this account"
    yield "owed", f"{amount(bought.entitlement)}, by the rule: {bought.rule}"
    yield "payment", _payment(payment) if payment else "Stripe does not have it"
    for row in found.file.issuances:
        yield "certificate", f"{row.state}, {at(row.issued)} UTC, {row.namespace}"
    if not found.file.issuances:
        yield "certificate", "none"
    if found.grace_ends is not None:
        yield "grace ends", f"{at(found.grace_ends)} UTC"
    if found.file.judged is not None:
        yield "judged", f"{at(found.file.judged)} UTC"


def _payment(payment: Payment) -> str:
    told = [payment.status, money(payment.received, payment.currency)]
    if payment.refunded:
        told.append(f"refunded {money(payment.refunded, payment.currency)}")
    if payment.dispute is not Dispute.NONE:
        told.append(f"dispute {payment.dispute}")
    return ", ".join(told)


def evidence_facts(file: PurchaseFile) -> Iterator[tuple[str, str]]:
    """Tell what shows a credit, or that there is none."""
    if file.balance is not None:
        yield "balance", f"{amount(file.balance.wei)}, as last read, {at(file.balance.as_of)} UTC"
    else:
        yield "balance", "never read"
    for line in file.credits:
        yield "indexer log", _credit(line)
    for line in file.other_credits:
        yield "other credit", _credit(line)
    for mint in file.mints:
        whose = "" if mint.namespace else " (names the account only)"
        yield "payments log", f"{at(mint.at)} UTC: {mint.outcome}{whose}"
    if not file.credits and not file.mints:
        yield "logs", "no line names it"
    for found in file.decisions:
        yield "decision", f"{at(found.at)} UTC: {found.actor}: {_words(found.decision)}; {found.reason}"


def _credit(line: SeenCredit) -> str:
    gone = "" if line.current else " (forgotten by the indexer since)"
    return f"{at(line.at)} UTC: {ucred(line.amount)} to {line.account}, memo {line.memo}{gone}"


def _corrections(file: PurchaseFile) -> Iterator[RenderableType]:
    for found in file.corrections:
        rows = [
            ("state", f"{_words(found.state)} ({_words(found.reason)})"),
            ("amount", amount(found.amount)),
            ("plan", found.plan[:12] if found.plan else "none"),
        ]
        requests = [row for one in file.attempts_of(found) for row in request_facts(one)]
        yield part(f"Correction {found.id}, epoch {found.epoch}", facts([*rows, *requests]))


def request_facts(one: SeenAttempt) -> Iterator[tuple[str, str]]:
    """Tell of one request, and what came back."""
    yield f"request {one.number}", f"{_words(one.state)}, sent {at(one.began)} UTC, run {one.run_id[:8]}"
    yield "  memo", one.memo
    status = f", HTTP {one.http_status}" if one.http_status is not None else ""
    answered = f" at {at(one.finished)} UTC" if one.finished else ""
    yield "  answer", f"{_words(one.answer or 'none yet')}{status}{answered}"
    after = ucred(one.new_balance) if one.new_balance is not None else "not told"
    yield "  balance", f"{ucred(one.balance_before)} before, {after} after"


def _other(found: NoPurchase) -> RenderableType:
    rows = [("PaymentIntent", found.payment_intent)]
    if found.payment is not None:
        rows.append(("payment", f"{_payment(found.payment)}, begun {at(found.payment.created)} UTC"))
    if found.record is not None:
        rows.append(("payments DB", f"{found.record.status}, for {found.record.customer_email}"))
    return part("A payment that is no purchase", plain(found.told), facts(rows))


def _name(bought: JudgedPurchase) -> str:
    if bought.namespace is None or bought.namespace == bought.payment_intent:
        return bought.payment_intent
    return f"{bought.namespace}   {bought.payment_intent}"


def _words(name: str) -> str:
    return name.replace("_", " ")
