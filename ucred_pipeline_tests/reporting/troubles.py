"""Everything that an alert may be about, in a ledger, with canaries wherever somebody else's text goes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert, update

from ucred_pipeline.domain.limits import Excess
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import update_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.mints import note_mints
from ucred_pipeline.ledger.plans import save_plan
from ucred_pipeline.ledger.purchases import Days, clear_marks, mark_all_accounts
from ucred_pipeline.ledger.runs import RECONCILIATION, End, Run, begin_run, end_run
from ucred_pipeline.ledger.safety import HoldKind, Signed, open_breaker, raise_hold
from ucred_pipeline.ledger.schema import breaker, credit_lines
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import add_purchase, book_of, in_doubt, item, read_everything

#: Texts that must be in no message: an address, a key, a token, markup, control characters.
ADDRESS: Final = "canary.address@example.com"
KEY: Final = "rk_live_canary4eC39HqLyjWDarjt"
TOKEN: Final = "canary-token-51d1"
MARKUP: Final = "<script>canary()</script>[x](http://canary.example)**canary**"
CONTROL: Final = "canary\x1b[31m\u202e\x07\r\nX-Canary: 1"
ROTTEN: Final = f"{ADDRESS} {KEY} {TOKEN} {MARKUP} {CONTROL}"
DAY: Final = timedelta(days=1)
EVERY_DAY: Final = Days()
_RUN: Final = Run(
    "run-0", NOON, None, applied=True, since=None, until=None, outcome=Outcome.RUNNING, detail="", summary={}
)

#: How trouble is made, by the alert that tells of it.
Trouble = Callable[[Ledger], None]


def bad_purchases(
    ledger: Ledger, count: int, verdict: Verdict, reason: str, *, first: int = 0, **changes: Any
) -> None:
    """Write purchases with a verdict that needs attention, first seen at noon; names hold canaries."""
    rows = [
        {"payment_intent": f"pi_canary_{verdict}_{number}", "verdict": verdict, "reason": reason}
        for number in range(first, first + count)
    ]
    with ledger.write() as connection:
        for number, row in enumerate(rows, start=first):
            wanted = item(
                number,
                payment_intent=row["payment_intent"],
                namespace=f"{number}.{MARKUP}{CONTROL}",
                account=f"acct:user:{number}{ADDRESS}",
            )
            add_purchase(connection, wanted, verdict=verdict, reason=reason, basis="log", **changes)
        update_breaks(connection, rows, NOON)
        judged(connection)


def judged(connection: Connection) -> None:
    """Work out what became of each mint, as a judgement does last."""
    mark_all_accounts(connection)
    note_mints(connection)
    clear_marks(connection)


def over_credits(ledger: Ledger, count: int = 1, *, first: int = 0) -> None:
    """Write purchases that were credited more than was owed, all of them sold long ago."""
    bad_purchases(ledger, count, Verdict.OVER_CREDITED, "credited_twice", first=first, issued=NOON - 30 * DAY)


def breaks_of(verdict: Verdict, reason: str) -> Trouble:
    """Make breaks of one kind."""
    return lambda ledger: bad_purchases(ledger, 2, verdict, reason)


def late_credits(ledger: Ledger) -> None:
    """Write a purchase whose credit came a minute after its certificate."""
    bad_purchases(ledger, 1, Verdict.CREDITED, "log_line")
    with ledger.write() as connection:
        connection.execute(
            insert(credit_lines).values(
                key="k", at=NOON - 2 * DAY + timedelta(minutes=1), account=f"acct:user:0{ADDRESS}", amount=1,
                memo=f"purchase:0.{MARKUP}{CONTROL}", namespace=f"0.{MARKUP}{CONTROL}", new_balance=1,
                state_root="ab" * 32, current=True,
            )
        )  # fmt: skip
        judged(connection)


def doubts(count: int) -> Trouble:
    """Send corrections whose answers were lost."""

    def make(ledger: Ledger) -> None:
        clock = FakeClock()
        for number in range(count):
            in_doubt(ledger, book_of(ledger, clock), clock, item(number, namespace=f"{number}.{MARKUP}"))

    return make


def run(
    ledger: Ledger,
    outcome: Outcome,
    at: datetime = NOON,
    hold: str | None = None,
    *,
    name: str = "r",
    job: str = RECONCILIATION,
    days: Days = EVERY_DAY,
    reads: bool = True,
) -> None:
    """Write a run of a job that ended so, which reads all unless told; its detail holds canaries."""
    corrections = {"planned": 1 if hold else 0}
    summary = {"hold": hold, "plan": ROTTEN, "corrections": corrections}
    with ledger.write() as connection:
        if reads:
            read_everything(connection, name, at)
        begin_run(connection, replace(_RUN, id=name, began=at, job=job, since=days.since, until=days.until))
        end_run(connection, name, End(at, outcome, ROTTEN, summary))


def held(kind: HoldKind) -> Trouble:
    """Raise a hold with canaries in who and why."""

    def make(ledger: Ledger) -> None:
        with ledger.write() as connection:
            raise_hold(connection, kind, Signed(ROTTEN, NOON, ROTTEN))

    return make


def with_breaker(*, token_refused: bool) -> Trouble:
    """Open the breaker."""

    def make(ledger: Ledger) -> None:
        with ledger.write() as connection:
            open_breaker(connection, 3, Signed(ROTTEN, NOON, ROTTEN), token_refused=token_refused)

    return make


def withheld(ledger: Ledger) -> None:
    """Withhold a plan."""
    wanted = item(1, namespace=MARKUP, account=f"acct:user:{ADDRESS}")
    with ledger.write() as connection:
        add_purchase(connection, wanted)
        save_plan(connection, [wanted], [Excess.CORRECTIONS_PER_RUN], ROTTEN[:60], NOON)


def long_stale(ledger: Ledger) -> None:
    """Write a run that ended an hour before noon."""
    run(ledger, Outcome.DONE, NOON - timedelta(hours=1))


#: One trouble for each alert; the alert of a failing route is another matter.
TROUBLES: Final[Mapping[str, Trouble]] = {
    "mint_success_low": lambda ledger: bad_purchases(ledger, 20, Verdict.LACKING, "log_shows_none"),
    "mint_latency_high": late_credits,
    "retry_queue_long": doubts(11),
    "purchases_missing": breaks_of(Verdict.LACKING, "log_shows_none"),
    "purchase_missing_long": breaks_of(Verdict.LACKING, "log_shows_none"),
    "over_credit": over_credits,
    "doubt_old": doubts(1),
    "purchases_unissued": breaks_of(Verdict.UNISSUED, "no_certificate"),
    "purchases_unpaid": breaks_of(Verdict.UNPAID, "payment_missing"),
    "purchases_ambiguous": breaks_of(Verdict.AMBIGUOUS, "addresses_differ"),
    "purchases_withdrawn": breaks_of(Verdict.WITHDRAWN, "refunded_after_credit"),
    "reconciliation_stale": long_stale,
    "runs_failed": lambda ledger: run(ledger, Outcome.SOURCE_UNREADABLE),
    "sending_held": held(HoldKind.CONTRADICTION),
    "held_by_person": held(HoldKind.PERSON),
    "indexer_forgot": held(HoldKind.INDEXER_FORGOT),
    "token_refused": with_breaker(token_refused=True),
    "plan_withheld": withheld,
    "gate_closed": lambda ledger: run(ledger, Outcome.HELD, hold="unknown_build"),
    "breaker_opened": with_breaker(token_refused=False),
}
#: How long after noon what is told by its age is old enough.
LATER: Final[Mapping[str, timedelta]] = {
    "purchase_missing_long": DAY + timedelta(seconds=1),
    "doubt_old": DAY + timedelta(seconds=1),
}


def mend(connection: Connection) -> None:
    """Put the breaker right."""
    connection.execute(update(breaker).values(openings_in_a_row=0, token_refused=False))
