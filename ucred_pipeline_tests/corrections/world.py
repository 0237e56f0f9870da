"""A ledger and a small indexer, and runs that credit what lacks: planned, issued, settled and judged."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update

from ucred_pipeline.corrections.issuing import Issued, Issuer, IssuingRules
from ucred_pipeline.corrections.preflight import Gates
from ucred_pipeline.corrections.settling import LogProof, Settled, Settler, SettlingRules
from ucred_pipeline.domain.corrections import ACTIVE, Attempt, AttemptState, CorrectionState, PlanItem
from ucred_pipeline.domain.evidence import BalanceReading
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import attempts_of
from ucred_pipeline.ledger.corrections import Ceiling, CorrectionBook
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.mirror import store_balances
from ucred_pipeline.ledger.plans import save_plan
from ucred_pipeline.ledger.purchases import Days, lacking_items
from ucred_pipeline.ledger.reads import LAST_AUDIT, Read, Source, leave_note, save_read
from ucred_pipeline.ledger.safety import Hold, open_holds
from ucred_pipeline.ledger.schema import balances, corrections, dirty_groups, purchases
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.corrections.small_indexer import REVIEWED, SmallIndexer
from ucred_pipeline_tests.ledger.stories import (
    QUIESCENCE,
    add_purchase,
    attempt_states,
    book_of,
    correction,
    item,
)

WITNESS: Final = "acct:user:witness@example.com"
GATES: Final = Gates((str(REVIEWED),), timedelta(seconds=30), debits_possible=False)
RULES: Final = IssuingRules(
    gates=GATES,
    early_429=False,
    send_deadline=timedelta(seconds=20),
    quiescence=QUIESCENCE,
    parallel_accounts=8,
    ceiling=Ceiling(100, 200 * 10**18, 500 * 10**18),
    backoff=timedelta(seconds=60),
    backoff_longest=timedelta(hours=6),
    attempts=8,
    breaker_doubts=3,
    breaker_openings=3,
    grace=timedelta(minutes=30),
    pace_s=0,
)
SETTLING: Final = SettlingRules(
    other_writers=False,
    debits_possible=False,
    grace=timedelta(minutes=30),
    quarantine_after=timedelta(hours=24),
)


@dataclass
class World:
    """All that a run needs; each run is a process of its own."""

    ledger: Ledger
    clock: FakeClock
    indexer: SmallIndexer
    runs: int = 0
    rules: IssuingRules = RULES
    settling: SettlingRules = SETTLING
    anchors: bool = False
    items: dict[int, PlanItem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let a stranger hold something, who bears witness that the indexer has not forgotten."""
        self.indexer.balances[WITNESS] = 1

    def lack(self, *numbers: int, **changes: Any) -> list[PlanItem]:
        """Add purchases that lack their UCRED, judged by the balances that the indexer has."""
        found = [item(number, **changes) for number in numbers]
        with self.ledger.write() as connection:
            for number, wanted in zip(numbers, found, strict=True):
                add_purchase(connection, wanted)
                self.items[number] = wanted
        self.read_balances()
        self.clear_marks()
        return found

    def read_balances(self, *, anew: bool = True) -> None:
        """Mirror the accounts' balances as they are, with the root at which they hold.

        A run reads the payments API's records `anew` before, one of the retry queue does not.
        """
        if anew:
            self.read_records()
        began, root = self.clock.now(), self.indexer.root
        accounts = sorted({WITNESS, *(found.account for found in self.items.values())})
        read = [BalanceReading(name, self.indexer.balances.get(name, 0), began, root) for name in accounts]
        with self.ledger.write() as connection:
            store_balances(connection, read)
            leave_note(connection, LAST_AUDIT, {"root": root, "began_us": int(began.timestamp() * 1_000_000)})

    def read_records(self) -> None:
        """Read the payments API's records whole; they say what the ledger already has."""
        now = self.clock.now()
        with self.ledger.write() as connection:
            save_read(connection, Read("a run", Source.PAYMENTS_DATABASE, now, now, True, 0, 0, {}))

    def clear_marks(self) -> None:
        """Everything has been judged."""
        with self.ledger.write() as connection:
            connection.execute(delete(dirty_groups))

    def judge(self) -> None:
        """Judge each purchase by the state of its corrections, as the judge would by receipts."""
        with self.ledger.write() as connection:
            found = connection.execute(select(corrections.c.payment_intent, corrections.c.state)).all()
            for name in connection.execute(select(purchases.c.payment_intent)).scalars().all():
                states = {row.state for row in found if row.payment_intent == name}
                verdict = (
                    Verdict.CREDITED
                    if CorrectionState.CONFIRMED in states
                    else Verdict.IN_DOUBT
                    if states & ACTIVE
                    else Verdict.LACKING
                )
                chosen = purchases.c.payment_intent == name
                connection.execute(update(purchases).where(chosen).values(verdict=verdict))
        self.clear_marks()

    def book(self) -> CorrectionBook:
        """Put the corrections into the hands of a new process."""
        self.runs += 1
        names = {"run_id": f"run {self.runs}", "owner": f"host:{self.runs}"}
        return book_of(self.ledger, self.clock, **names, anchors=self.anchors)

    def run(self, book: CorrectionBook | None = None, *, approved: bool = False, **rules: Any) -> Issued:
        """Find what was being sent, plan what lacks, and issue it."""
        book = book or self.book()
        book.sweep_silent()
        with self.ledger.write() as connection:
            items = lacking_items(connection, Days())
            plan = save_plan(connection, items, [], "run", self.clock.now()).hash if items else ""
        accepted = book.accept(plan, items)
        issuer = Issuer(self.ledger, book, self.indexer, self.clock, replace(self.rules, **rules))
        return asyncio.run(issuer.issue(accepted, frozenset({plan} if approved else ())))

    def settle(self, proof: LogProof | None = None, **rules: Any) -> Settled:
        """Ask the evidence about the doubts."""
        settler = Settler(self.ledger, self.book(), self.clock, replace(self.settling, **rules))
        return settler.settle(lambda _: proof)

    def settle_by_balances(self) -> Settled:
        """Wait until absence counts, and read the balances twice."""
        settled = Settled()
        for _ in range(2):
            self.clock.advance(QUIESCENCE + timedelta(minutes=1))
            self.read_balances()
            settled = self.settle()
        self.judge()
        return settled

    def state(self, number: int) -> CorrectionState:
        """Where the correction of a purchase stands."""
        return correction(self.ledger, self.items[number]).state

    def reason(self, number: int) -> str:
        """Why it stands there."""
        return correction(self.ledger, self.items[number]).reason

    def attempts(self, number: int) -> list[AttemptState]:
        """What is known of its requests, first to last."""
        return attempt_states(self.ledger, correction(self.ledger, self.items[number]).id)

    def first_attempt(self, number: int) -> Attempt:
        """Give the first attempt of a purchase's correction, whatever became of it."""
        with self.ledger.read() as connection:
            first, *_ = attempts_of(connection, correction(self.ledger, self.items[number]).id)
        return Attempt(**{name: getattr(first, name) for name in Attempt.__dataclass_fields__})

    def holds(self) -> list[Hold]:
        """The holds in force."""
        with self.ledger.read() as connection:
            return open_holds(connection)

    def mirrored(self, number: int) -> int:
        """What the ledger knows an account to hold."""
        with self.ledger.read() as connection:
            chosen = select(balances.c.wei).where(balances.c.account == self.items[number].account)
            return int(connection.execute(chosen).scalar_one())

    def posts(self) -> list[str]:
        """The purchases for which a request arrived, by the names of their accounts."""
        return [attempt.account for attempt in self.indexer.posted]
