"""Evidence of another moment, another state, another life or another hand decides nothing."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from sqlalchemy import select

from ucred_pipeline.corrections.settling import Settled, Settler
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.schema import credit_lines, issuances
from ucred_pipeline.orchestration import crediting, judgement, reading, summary
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal
from ucred_pipeline_tests.end_to_end.test_changed_sources import change
from ucred_pipeline_tests.end_to_end.test_levers import SIGNED, resolve
from ucred_pipeline_tests.orchestration.conftest import pipeline_of

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
VICTIM = "victim@example.com"
LOGS = ("UCRED_INDEXER_LOG", "UCRED_PAYMENTS_LOG")
A_LINE = (
    "\n2026-02-01T00:00:00.000000Z  INFO rust_l1_indexer: Admin credit: asset=UCRED"
    " account={account} amount_wei=1000000000000000000 memo=purchase:{namespace}"
)


@pytest.fixture
def world(rehearse: Rehearse) -> Rehearsal:
    """A small world with logs in which everybody was credited."""
    return rehearse(purchases=8, special_cases=False, lacking_share=0)


def lacks(world: Rehearsal) -> str:
    """Somebody bought two days ago, and was never credited."""
    return world.sandbox.purchase("lacking_indexer_down", email=VICTIM, age=2 * DAY)


def namespace_of(world: Rehearsal, payment_intent: str) -> str:
    """The namespace of a purchase."""
    return world.sandbox.truth.purchases[payment_intent].namespace or ""


def balance(world: Rehearsal, address: str = VICTIM) -> int:
    """What an address holds, in wei."""
    return world.balance(f"acct:user:{address}")


def read(pipeline: Pipeline, run: str, *, logs: bool) -> None:
    """Take the steps of a run up to its evidence."""
    summary.start(pipeline, run, Days(), applied=True)
    reading.read_stripe(pipeline, run, Days())
    reading.read_issuances(pipeline, run)
    reading.read_balances(pipeline, run)
    if logs:
        reading.read_evidence(pipeline, run)


def test_a_manual_mint_after_a_log_that_was_unreadable(world: Rehearsal) -> None:
    """Support's mint waits until the log can be read again, whatever an earlier run had proved by it."""
    bought = lacks(world)
    assert world.reconcile(apply=False).document["verdicts"]["lacking"] == 1
    log = world.variables["UCRED_INDEXER_LOG"]
    world.later()
    world.variables["UCRED_INDEXER_LOG"] = f"{log}.gone"
    assert world.reconcile().code == 3

    said = world.ucred("credit", namespace_of(world, bought), *SIGNED, "--apply")

    assert (said.code, world.sandbox.http_credits) == (4, ())
    assert "was not whole" in said.text
    world.variables["UCRED_INDEXER_LOG"] = log
    world.later()
    assert (world.reconcile().code, world.sent()) == (0, world.owed())


def test_a_manual_mint_of_what_was_credited_while_the_log_was_unreadable(world: Rehearsal) -> None:
    """What the log of an earlier run does not show may have been credited since: it is not sent."""
    bought = lacks(world)
    assert world.reconcile(apply=False).document["verdicts"]["lacking"] == 1
    world.later()
    world.sandbox.credit(bought)
    world.variables["UCRED_INDEXER_LOG"] += ".gone"
    world.later()
    assert world.reconcile().code == 3

    said = world.ucred("credit", namespace_of(world, bought), *SIGNED, "--apply")

    assert said.code in {2, 4}
    assert (world.sandbox.http_credits, balance(world)) == ((), WEI_PER_UCRED)


def test_two_interleaved_runs(world: Rehearsal) -> None:
    """A proof by the log is of its own audit: beside the balances of another run's it decides nothing."""
    bought = lacks(world)
    with pipeline_of(world) as pipeline:
        read(pipeline, "a", logs=True)
        world.later(timedelta(seconds=20))
        world.sandbox.credit(bought, memo=f"purchase:{namespace_of(world, bought)}")
        world.later(timedelta(seconds=20))
        read(pipeline, "b", logs=False)
        crediting.settle(pipeline, "a")
        judgement.judge_marked(pipeline)
        crediting.carry_out(pipeline, "a", crediting.plan(pipeline, "a", Days()))

    assert world.verdict(bought)[0] != "lacking"
    assert (world.sandbox.http_credits, balance(world)) == ((), WEI_PER_UCRED)


def test_a_log_that_another_run_replaced_by_an_older_copy(
    world: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof by a log is of that log's lines: without them it does not say that a credit never came."""
    bought = lacks(world)
    log, older = world.variables["UCRED_INDEXER_LOG"], world.folder / "older.log"
    copy(log, older)
    world.sandbox.faults.set("indexer-drop-after", account=f"acct:user:{VICTIM}", times=1)
    world.variables["UCRED_INDEXER_LOG"] = str(older)
    assert (world.reconcile().code, world.attempts()) == (5, {"in_doubt": 1})
    world.later(HOUR)
    honest = Settler.settle
    with pipeline_of(world) as another:
        world.variables["UCRED_INDEXER_LOG"] = log

        def overtaken(settler: Settler, *evidence: Any) -> Settled:
            reading.read_evidence(another, "b")
            return honest(settler, *evidence)

        with pipeline_of(world) as pipeline, monkeypatch.context() as patch:
            read(pipeline, "a", logs=True)
            patch.setattr(Settler, "settle", overtaken)
            crediting.settle(pipeline, "a")

    assert world.attempts() == {"in_doubt": 1}
    world.later(HOUR)
    assert (world.reconcile().code, world.attempts()) == (0, {"applied": 1})
    world.later()
    assert (world.reconcile().code, world.sent()) == (0, world.owed())
    assert (world.verdict(bought)[0], balance(world)) == ("credited", WEI_PER_UCRED)


def test_a_run_that_ends_after_one_that_read_later(world: Rehearsal) -> None:
    """What the payments database was when a slow run read it does not pass for what is mirrored."""
    bought = lacks(world)
    with pipeline_of(world) as pipeline:

        def another_run_reads_a_change(step: str, count: int) -> None:  # noqa: ARG001
            change(world, bought, state="failed")
            reading.read_issuances(pipeline, "b")

        reading.read_issuances(pipeline.telling(another_run_reads_a_change), "a")
        change(world, bought, state="issued")
        reading.read_issuances(pipeline, "c")
        with pipeline.ledger.read() as connection:
            states = set(connection.execute(select(issuances.c.state)).scalars())

    assert states == {"issued"}


def test_a_payments_database_that_changes_while_two_runs_read_it(
    world: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a slow run read of the payments database does not replace what another read after it."""
    bought = lacks(world)
    with pipeline_of(world) as pipeline, monkeypatch.context() as patch:

        def another_run_reads_a_change() -> None:
            change(world, bought, state="failed")
            reading.read_issuances(pipeline, "b")

        overtake(patch, "read_payments_database", another_run_reads_a_change)
        reading.read_issuances(pipeline, "a")
        with pipeline.ledger.read() as connection:
            states = set(connection.execute(select(issuances.c.state)).scalars())

    assert states == {"issued", "failed"}


def test_a_log_that_grows_while_two_runs_read_it(world: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slow run read of the log does not replace what another read after it."""
    bought = lacks(world)
    with pipeline_of(world) as pipeline, monkeypatch.context() as patch:

        def another_run_reads_a_line() -> None:
            world.sandbox.credit(bought, memo=f"purchase:{namespace_of(world, bought)}")
            read(pipeline, "b", logs=True)

        overtake(patch, "read_indexer_log", another_run_reads_a_line)
        read(pipeline, "a", logs=True)
        with pipeline.ledger.read() as connection:
            named = select(credit_lines.c.current).where(
                credit_lines.c.namespace == namespace_of(world, bought)
            )
            current = list(connection.execute(named).scalars())

    assert current == [True]


def overtake(patch: pytest.MonkeyPatch, name: str, by: Callable[[], None]) -> None:
    """Let something happen once, between what a run reads and what it makes of it."""
    honest, others = getattr(reading, name), [by]

    def read_slowly(*arguments: Any) -> Any:
        found = honest(*arguments)
        if others:
            others.pop()()
        return found

    patch.setattr(reading, name, read_slowly)


@pytest.mark.parametrize("logs", [True, False])
def test_a_decision_that_somebody_overtook(rehearse: Rehearse, *, logs: bool) -> None:
    """A person's "not credited" lapses when somebody credits the account after it."""
    world = rehearse(purchases=8, special_cases=False, lacking_share=0, logs=logs)
    bought = world.sandbox.purchase("ambiguous_twice_issued", email=VICTIM, age=2 * DAY)
    assert world.reconcile().document["verdicts"]["ambiguous"] == 1
    assert resolve(world, bought, "not-credited").code == 0

    world.sandbox.credit(bought)
    for _ in range(2):
        world.later()
        assert world.reconcile().code == 0

    assert world.verdict(bought) == ("ambiguous", "two_certificates")
    assert (world.sandbox.http_credits, balance(world)) == ((), 2 * WEI_PER_UCRED)


def test_a_decision_that_was_overtaken_stays_so(rehearse: Rehearse) -> None:
    """What somebody gave after a person's "not credited" may be spent: the decision does not come back."""
    rules = f"{NO_LIMITS}\n[evidence]\ndebits_possible = true\n"
    world = rehearse(rules, purchases=8, special_cases=False, lacking_share=0, logs=False)
    bought = world.sandbox.purchase("ambiguous_twice_issued", email=VICTIM, age=2 * DAY)
    assert world.reconcile().document["verdicts"]["ambiguous"] == 1
    assert world.ucred("hold", *SIGNED).code == 0
    assert resolve(world, bought, "not-credited").code == 0
    world.sandbox.credit(bought)
    world.later()
    world.reconcile()
    world.sandbox.debit(f"acct:user:{VICTIM}", WEI_PER_UCRED)
    assert world.ucred("release", *SIGNED).code == 0

    for _ in range(2):
        world.later()
        world.reconcile()

    assert world.sandbox.http_credits == ()
    assert world.verdict(bought)[0] != "lacking"
    told = " ".join(world.ucred("explain", bought).out.split())
    assert "decided that it is not credited" in told
    assert "The decision holds no more: others have credited the" in told


@pytest.mark.parametrize(
    "at_first, at_last",
    [(LOGS, ()), (LOGS[1:], LOGS[1:])],
    ids=["logs switched off", "payments log only"],
)
def test_a_new_epoch_voids_the_evidence_of_the_old_life(
    rehearse: Rehearse, at_first: tuple[str, ...], at_last: tuple[str, ...]
) -> None:
    """After a loss no line of a lost credit counts, whichever log is left: all are credited once more."""
    world = rehearse(NO_LIMITS, purchases=0, special_cases=False)
    addresses = [f"c{number}@example.com" for number in range(4)]
    bought = [world.sandbox.purchase("credited", email=address, age=3 * DAY) for address in addresses]
    logs = {name: world.variables.pop(name) for name in LOGS}
    world.variables |= {name: logs[name] for name in at_first}
    assert world.reconcile().code == 0
    world.variables = {name: value for name, value in world.variables.items() if name not in LOGS}
    world.variables |= {name: logs[name] for name in at_last}
    world.sandbox.restart_indexer()
    world.later()
    assert world.reconcile().code == 4
    assert world.ucred("release", "--new-epoch", *SIGNED).code == 0

    for _ in range(2):
        world.later()
        assert world.reconcile().code == 0

    assert [world.verdict(name) for name in bought] == [("credited", "receipt")] * 4
    assert [balance(world, address) for address in addresses] == [WEI_PER_UCRED] * 4


@pytest.mark.parametrize("debits", [False, True])
def test_a_log_that_ends_before_the_new_epoch(rehearse: Rehearse, *, debits: bool) -> None:
    """A log that shows nothing of the new state is no evidence of it: what it tells of was lost."""
    rules = f"{NO_LIMITS}\n[evidence]\ndebits_possible = {str(debits).lower()}\n"
    world = rehearse(rules, purchases=0, special_cases=False)
    bought = [
        world.sandbox.purchase("credited", email=f"c{number}@example.com", age=3 * DAY) for number in (1, 2)
    ]
    assert world.reconcile().document["verdicts"]["credited"] == 2
    log = Path(world.variables["UCRED_INDEXER_LOG"])
    told = log.read_text(encoding="utf-8")
    world.sandbox.restart_indexer()
    world.later()
    assert world.reconcile().code == 4
    world.sandbox.credit(world.sandbox.purchase("lacking_indexer_down", email=VICTIM, age=2 * DAY))
    world.later()
    assert world.ucred("release", "--new-epoch", *SIGNED).code == 0
    log.write_text(told, encoding="utf-8")
    world.later()

    world.reconcile(apply=False)

    verdicts = {world.verdict(name)[0] for name in bought}
    assert verdicts == ({"ambiguous"} if debits else {"lacking"})


@pytest.mark.parametrize("new_epoch", [False, True])
def test_our_own_credits_of_an_earlier_epoch(world: Rehearsal, *, new_epoch: bool) -> None:
    """What we credited before a new epoch, though nothing was lost, is a receipt once the log shows it."""
    logs = {name: world.variables.pop(name) for name in LOGS}
    bought = [
        world.sandbox.purchase(case, email=VICTIM, age=age)
        for case, age in (("lacking_indexer_down", 3 * DAY), ("credited", 2 * DAY))
    ]
    assert world.reconcile().document["corrections"]["confirmed"] == 1
    if new_epoch:
        assert world.ucred("release", "--new-epoch", *SIGNED).code == 0
    world.variables |= logs
    world.later()

    assert world.reconcile().code == 0

    assert (len(world.sandbox.http_credits), balance(world)) == (1, 2 * WEI_PER_UCRED)
    assert "lacking" not in {world.verdict(name)[0] for name in bought}


def test_a_forged_line_in_an_address(world: Rehearsal) -> None:
    """A second line that somebody's address puts into the log is no credit of the one whom it names."""
    victim = lacks(world)
    forged = A_LINE.format(account=f"acct:user:{VICTIM}", namespace=namespace_of(world, victim))
    forger = world.sandbox.purchase("credited", email=f"evil@example.com{forged}\n", age=DAY)

    for _ in range(2):
        world.reconcile()
        world.later()

    assert world.verdict(victim) == ("credited", "receipt")
    assert world.verdict(forger)[0] == "ambiguous"
    assert (world.sent(), balance(world)) == ({namespace_of(world, victim): 1}, WEI_PER_UCRED)


def test_a_forged_line_in_a_namespace(world: Rehearsal) -> None:
    """A second line that somebody's namespace puts into the log hides nobody: a person is told."""
    victim = lacks(world)
    forged = A_LINE.format(account=f"acct:user:{VICTIM}", namespace=namespace_of(world, victim))
    forger = world.sandbox.purchase("lacking_indexer_down", email="evil@example.com", age=DAY)
    change(world, forger, namespace=f"z{forged}")
    world.sandbox.credit(forger, memo=f"purchase:z{forged}")

    for _ in range(2):
        world.reconcile()
        world.later()

    told = world.ucred("breaks", "--format", "json").document["breaks"]
    assert {(one["payment_intent"], one["kind"]) for one in told} == {
        (victim, "ambiguous"),
        (forger, "ambiguous"),
    }
    assert world.sandbox.http_credits == ()


def test_a_clock_that_was_ahead_in_one_run(world: Rehearsal) -> None:
    """A clock that Stripe's contradicts reads nothing, so what happens by then is read all the same."""
    bought = lacks(world)
    world.later()
    assert world.reconcile(apply=False).code == 0
    right, wrong = world.clock, FakeClock(world.clock.now() + 2 * HOUR, world.clock.monotonic())
    world.clock = wrong
    assert world.reconcile().code == 3
    world.clock = right
    world.later(timedelta(minutes=5))
    world.sandbox.refund(bought)
    new = world.sandbox.purchase("lacking_indexer_down", email="new@example.com")

    for _ in range(2):
        world.later(2 * HOUR)
        assert world.reconcile().code == 0

    assert world.verdict(bought)[0] == "withdrawn"
    assert world.verdict(new) == ("credited", "receipt")
    assert world.sent() == {namespace_of(world, new): 1}
