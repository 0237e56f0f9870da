"""The timeline of a purchase, from payment to credit: each event one sentence, with its source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.answers import AnswerKind
from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.domain.evidence import MintOutcome
from ucred_pipeline.domain.issuances import ISSUED, VOIDED, Issuance
from ucred_pipeline.domain.memos import CorrectionKind, read_memo
from ucred_pipeline.domain.payments import Payment
from ucred_pipeline.ledger.decisions import LAPSED
from ucred_pipeline.ledger.history import Entry
from ucred_pipeline.reporting.purchase_file import (
    PurchaseFile,
    SeenAttempt,
    SeenBreak,
    SeenCredit,
    SeenMint,
    SeenPlan,
)
from ucred_pipeline.reporting.wording import counted, money, ucred

STRIPE: Final = "Stripe"
DATABASE: Final = "payments DB"
PAYMENTS_LOG: Final = "payments log"
INDEXER_LOG: Final = "indexer log"
INDEXER: Final = "indexer"
PIPELINE: Final = "pipeline"
PERSON: Final = "person"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, when, and who says so."""

    at: datetime
    source: str
    told: str


def timeline(file: PurchaseFile, grace: timedelta) -> list[Event]:
    """Tell what happened to a purchase, in the order of time."""
    events = [
        *_payment(file.payment),
        *_record(file),
        *(event for row in file.issuances for event in _certificate(row)),
        *map(_mint, file.mints),
        *(_credit(line, file.purchase.account) for line in file.credits),
        *_grace(file, grace),
        *(event for found in file.breaks for event in _break(found)),
        *(event for plan in file.plans for event in _plan(plan)),
        *_corrections(file),
        *_balance(file),
        *_decisions(file),
    ]
    return sorted(events, key=lambda event: event.at)


def _payment(payment: Payment | None) -> Iterator[Event]:
    if payment is None:
        return
    yield Event(payment.created, STRIPE, "The customer began to pay.")
    if payment.paid is not None and payment.succeeded:
        told = money(payment.received, payment.currency)
        yield Event(payment.paid, STRIPE, f"The payment of {told} succeeded.")


def _record(file: PurchaseFile) -> Iterator[Event]:
    if file.record is not None and file.payment is None:
        yield Event(file.record.created, DATABASE, "The payments API recorded the payment.")


def _certificate(row: Issuance) -> Iterator[Event]:
    if row.state not in {ISSUED, VOIDED}:
        told = f"A certificate was begun, and stands at {row.state}: {row.namespace}."
        yield Event(row.issued, DATABASE, told)
        return
    yield Event(row.issued, DATABASE, f"The certificate was issued: {row.namespace}.")
    if row.state == VOIDED:
        yield Event(row.voided or row.issued, DATABASE, "The certificate was voided.")


_MINTS: Final = {
    MintOutcome.MINTED: "The payments API says that it minted for this purchase.",
    MintOutcome.REFUSED: "A mint for the account was refused; the line names no purchase.",
    MintOutcome.UNKNOWN: "A mint for the account got no answer; the line names no purchase.",
}


def _mint(line: SeenMint) -> Event:
    return Event(line.at, PAYMENTS_LOG, _MINTS[MintOutcome(line.outcome)])


def _credit(line: SeenCredit, account: str | None) -> Event:
    told = f"{_writer(line)} credited {ucred(line.amount)}; the account held {ucred(line.new_balance)} then."
    if line.account != account:
        told = f"{_writer(line)} credited {ucred(line.amount)} to ANOTHER account: {line.account}."
    if not line.current:
        told += " The indexer has forgotten this since."
    return Event(line.at, INDEXER_LOG, told)


def _writer(line: SeenCredit) -> str:
    if line.correction is not None:
        return f"Request {line.attempt} of our correction"
    memo = read_memo(line.memo)
    by_hand = memo is not None and memo.prefix == CorrectionKind.MANUAL
    return "Support, by hand," if by_hand else "The payments API"


def _grace(file: PurchaseFile, grace: timedelta) -> Iterator[Event]:
    """Tell when the grace period ended, where nobody had credited by then."""
    due = file.purchase.due_since
    if due is None or any(line.at <= due + grace for line in file.credits):
        return
    if file.breaks or file.corrections:
        yield Event(due + grace, PIPELINE, "The grace period ended, and no credit was known.")


def _break(found: SeenBreak) -> Iterator[Event]:
    yield Event(found.first_seen, PIPELINE, f"Found as {_words(found.kind)}: break {found.id} was opened.")
    if found.resolved is not None:
        ended = _words((found.resolution or "").partition(":")[0])
        yield Event(found.resolved, PIPELINE, f"The break was resolved: the purchase is {ended} now.")


def _plan(plan: SeenPlan) -> Iterator[Event]:
    size = f"{counted(plan.items, 'correction')}, {ucred(plan.wei)}"
    held = f" It is withheld: {', '.join(map(_words, plan.over))}." if plan.over else ""
    yield Event(plan.created, PIPELINE, f"Joined plan {plan.hash[:12]} of {size}.{held}")
    if plan.approved is not None:
        yield Event(plan.approved, PERSON, f"{plan.approved_by} approved plan {plan.hash[:12]}.")


def _corrections(file: PurchaseFile) -> Iterator[Event]:
    requests = {f"attempt:{one.correction}.{one.number}": one for one in file.attempts}
    for entry in file.history:
        request = requests.get(entry.subject)
        told = _of_attempt(entry, request) if request else _of_correction(entry)
        if told is not None:
            yield Event(entry.at, PIPELINE if entry.actor == "pipeline" else PERSON, told)


#: What the entries of its requests tell already.
_TOLD_BY_ATTEMPTS: Final = frozenset(
    {CorrectionState.SENDING, CorrectionState.IN_DOUBT, CorrectionState.QUARANTINED}
)
_ENDS: Final = {
    CorrectionState.QUARANTINED: "The evidence did not settle the doubt in time: a person is asked.",
    CorrectionState.REFUSED: "The correction ended: the same request would be refused again.",
    CorrectionState.SUPERSEDED: "The correction ended unsent: somebody else credited the purchase.",
    CorrectionState.CANCELLED: "The correction ended unsent: nothing is owed any more.",
    CorrectionState.EPOCH_CLOSED: "The correction was closed: a new epoch began.",
}


def _of_correction(entry: Entry) -> str | None:
    state = CorrectionState(entry.event)
    if state is not CorrectionState.PLANNED:
        return _ENDS.get(state)
    before = entry.detail.get("from")
    if before is None:
        return "A correction was planned."
    if before == CorrectionState.CLAIMED:
        return f"The correction was not sent, and waits: {_words(str(entry.detail['reason']))}."
    if before in _TOLD_BY_ATTEMPTS or before == CorrectionState.PLANNED:
        return None
    return "The correction was planned again: the purchase lacks again."


_SETTLED_BY: Final = {
    "log_names_the_attempt": "Settled by the indexer's log, which names the request",
    "complete_log_without_it": "Settled by the complete log, which does not have the request",
    "balance_shows_it": "Settled by the balance, which rose by the amount",
    "balance_shows_none": "Settled by the balance, which did not rise",
}
_DOUBTS: Final = {
    AnswerKind.NO_ANSWER: "No answer came back",
    "sender_stopped": "The sender stopped before an answer came",
}


def _of_attempt(entry: Entry, request: SeenAttempt) -> str:
    state, reason = AttemptState(entry.event), str(entry.detail.get("reason", ""))
    match state:
        case AttemptState.SENDING:
            held = ucred(request.balance_before)
            return f"Request {request.number} for {ucred(request.amount)} was sent; the account held {held}."
        case AttemptState.APPLIED if reason == AnswerKind.ACKNOWLEDGED:
            return _acknowledged(request)
        case AttemptState.IN_DOUBT:
            told = _DOUBTS.get(reason, f"The answer proves nothing ({_words(reason)})")
            return f"{told}: in doubt, so it is not sent again."
        case AttemptState.NOT_APPLIED:
            return f"The request had no effect: {_words(reason)}."
        case AttemptState.CONTRADICTION:
            how = reason.removesuffix("_after_all")
            return f"The request was {_words(how)} after it was settled as not applied."
        case _:
            return _settled(entry, state, reason)


def _acknowledged(request: SeenAttempt) -> str:
    taken = f" after {request.duration_us / 1000:.0f} ms" if request.duration_us is not None else ""
    holds = f": the account holds {ucred(request.new_balance)}" if request.new_balance is not None else ""
    return f"The indexer acknowledged it{taken}{holds}."


def _settled(entry: Entry, state: AttemptState, reason: str) -> str:
    said = _SETTLED_BY.get(reason, f"{entry.actor} settled it: {reason}")
    effect = {
        AttemptState.APPLIED: "the credit arrived",
        AttemptState.RESOLVED_NOT_APPLIED: "it had no effect",
    }
    return f"{said}: {effect.get(state, _words(state))}."


def _balance(file: PurchaseFile) -> Iterator[Event]:
    if file.balance is not None:
        told = f"The account was last read: it held {ucred(file.balance.wei)}."
        yield Event(file.balance.as_of, INDEXER, told)


def _decisions(file: PurchaseFile) -> Iterator[Event]:
    for found in file.decisions:
        if found.decision == LAPSED:
            yield Event(found.at, PIPELINE, f"The decision holds no more: {found.reason}.")
        else:
            told = f"{found.actor} decided that it is {_words(found.decision)}: {found.reason}"
            yield Event(found.at, PERSON, told)


def _words(name: str) -> str:
    return name.replace("_", " ")


def days(events: Sequence[Event]) -> Iterator[tuple[str, list[Event]]]:
    """Give the events by UTC day."""
    by_day: dict[str, list[Event]] = {}
    for event in events:
        by_day.setdefault(f"{event.at:%Y-%m-%d}", []).append(event)
    yield from by_day.items()
