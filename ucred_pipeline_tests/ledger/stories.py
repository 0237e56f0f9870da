"""Purchases that lack their UCRED, and how far their corrections have come, for the tests of the ledger."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from ucred_pipeline.domain.answers import Answer, AnswerKind, Effect
from ucred_pipeline.domain.clock import Clock, to_micros
from ucred_pipeline.domain.corrections import (
    Attempt,
    AttemptState,
    Correction,
    CorrectionState,
    PlanItem,
    correction_id,
)
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import attempts_of
from ucred_pipeline.ledger.corrections import Ceiling, CorrectionBook, Request, Sender
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.plans import save_plan
from ucred_pipeline.ledger.reads import ALWAYS_NEEDED, Read, save_read
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import attempts, balances, corrections, purchases
from ucred_pipeline_tests.conftest import NOON

ROOT: Final = "ab" * 32
AMPLE: Final = Ceiling(1000, 10**24, 10**24)
ACKNOWLEDGED: Final = Answer(Effect.APPLIED, AnswerKind.ACKNOWLEDGED, 200, WEI_PER_UCRED, "cd" * 32)
UNCLEAR: Final = Answer(Effect.IN_DOUBT, AnswerKind.UNCLEAR_ANSWER, 502)
NEVER_SENT: Final = Answer(Effect.NOT_APPLIED, AnswerKind.NEVER_SENT)
TOKEN_REFUSED: Final = Answer(Effect.NOT_APPLIED, AnswerKind.TOKEN_REFUSED, 401)
CREDIT_REFUSED: Final = Answer(Effect.NOT_APPLIED, AnswerKind.CREDIT_REFUSED, 500)
QUIESCENCE: Final = timedelta(minutes=15)
A_SECOND: Final = timedelta(seconds=1)


def item(number: int, **changes: Any) -> PlanItem:
    """Give what a plan says of purchase `number`, which is of an account of its own."""
    told = PlanItem(
        payment_intent=f"pi_{number}",
        namespace=f"{number}.x",
        account=f"acct:user:buyer{number}@example.com",
        amount=WEI_PER_UCRED,
        kind=CorrectionKind.CORRECTION,
        epoch=1,
    )
    return replace(told, **changes)


def read_everything(connection: Connection, run_id: str, at: datetime) -> None:
    """Let a run have read whole what every run reads."""
    for source in ALWAYS_NEEDED:
        covered = {
            "since_us": 0,
            "until_us": to_micros(at),
            "problems": [],
            "accounts": 0,
            "build": "a build",
        }
        save_read(connection, Read(run_id, source, at, at, True, 0, 0, covered))


def add_purchase(connection: Connection, wanted: PlanItem, **changes: Any) -> None:
    """Write a purchase that was judged as lacking its UCRED."""
    row = {
        "payment_intent": wanted.payment_intent,
        "judged_with": wanted.account,
        "account": wanted.account,
        "namespace": wanted.namespace,
        "purchase_type": "namespace",
        "entitlement": wanted.amount,
        "rule": "namespace",
        "needs_certificate": True,
        "is_foreign": False,
        "payment_known": True,
        "succeeded": True,
        "refunded": False,
        "disputed": False,
        "voided": False,
        "addresses_differ": False,
        "issued_rows": 1,
        "created": NOON - timedelta(days=2),
        "issued": NOON - timedelta(days=2),
        "due_since": NOON - timedelta(days=2),
        "verdict": Verdict.LACKING,
        "basis": "balance",
        "reason": "balance_too_low",
        "judged": NOON,
    }
    connection.execute(insert(purchases).values(row | changes))


def add_balance(
    connection: Connection, account: str, wei: int, began: datetime = NOON, root: str = ROOT
) -> None:
    """Write a balance as it was read."""
    connection.execute(insert(balances).values(account=account, wei=wei, began=began, root=root))


def judge(ledger: Ledger, payment_intent: str, **verdict: Any) -> None:
    """Change what was concluded about a purchase."""
    with ledger.write() as connection:
        chosen = purchases.c.payment_intent == payment_intent
        connection.execute(update(purchases).where(chosen).values(verdict))


def book_of(
    ledger: Ledger, clock: Clock, run_id: str = "run", owner: str = "host:1", *, anchors: bool = False
) -> CorrectionBook:
    """Put the corrections into the hands of a sender."""
    return CorrectionBook(ledger, clock, Sender(owner, run_id, anchors=anchors))


def add_plan(ledger: Ledger, items: Sequence[PlanItem], run_id: str = "run") -> str:
    """Keep a plan; give its hash."""
    with ledger.write() as connection:
        return save_plan(connection, items, [], run_id, NOON).hash


def planned(ledger: Ledger, book: CorrectionBook, *items: PlanItem, **changes: Any) -> list[Correction]:
    """Make lacking purchases and their planned corrections."""
    with ledger.write() as connection:
        for wanted in items:
            add_purchase(connection, wanted, **changes)
    return book.accept(add_plan(ledger, items), items)


def request_at(now: datetime, **changes: Any) -> Request:
    """Say what is known before a request leaves."""
    deadline = now + timedelta(seconds=20)
    told = Request(
        "rust-l1-indexer 0.1.0",
        0,
        ROOT,
        account_quiet=True,
        witness=None,
        witness_wei=None,
        began=now,
        deadline=deadline,
        settles_after=now,
    )
    return replace(told, settles_after=deadline + QUIESCENCE, **changes)


def sending(ledger: Ledger, book: CorrectionBook, clock: Clock, wanted: PlanItem, **request: Any) -> Attempt:
    """Bring a new correction as far as a request that is about to leave."""
    found = planned(ledger, book, wanted)[0]
    return book.begin_sending(book.claim(found.id), request_at(clock.now(), **request), AMPLE)


def in_doubt(ledger: Ledger, book: CorrectionBook, clock: Clock, wanted: PlanItem, **request: Any) -> Attempt:
    """Bring a new correction as far as a doubt."""
    attempt = sending(ledger, book, clock, wanted, **request)
    book.conclude(attempt, UNCLEAR, A_SECOND, None)
    return attempt


def correction(ledger: Ledger, wanted: PlanItem | str) -> Correction:
    """Read a correction, of a plan's item or by its id."""
    name = (
        wanted if isinstance(wanted, str) else correction_id(wanted.payment_intent, wanted.kind, wanted.epoch)
    )
    with ledger.read() as connection:
        row = connection.execute(select(corrections).where(corrections.c.id == name)).mappings().one()
    fields = {name: row[name] for name in Correction.__dataclass_fields__}
    return Correction(
        **fields | {"state": CorrectionState(row["state"]), "kind": CorrectionKind(row["kind"])}
    )


def attempt_states(ledger: Ledger, name: str) -> list[AttemptState]:
    """The states of a correction's attempts, first to last."""
    with ledger.read() as connection:
        return [AttemptState(row.state) for row in attempts_of(connection, name)]


def count_attempts(ledger: Ledger) -> int:
    """How many attempts there are."""
    with ledger.read() as connection:
        return len(connection.execute(select(attempts.c.number)).all())


def signed(at: datetime, reason: str = "a test", actor: str = "ada") -> Signed:
    """Sign something."""
    return Signed(actor, at, reason)
