"""Corrections are sent once, after they were written down, and only while every gate is open."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from sqlalchemy import select, update

from ucred_pipeline.corrections.indexer import Reply, idempotency_key
from ucred_pipeline.domain.corrections import Attempt, AttemptState, CorrectionState
from ucred_pipeline.domain.evidence import BalanceReading, Build
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import live_attempt
from ucred_pipeline.ledger.corrections import Ceiling, CorrectionBook
from ucred_pipeline.ledger.mirror import store_balances
from ucred_pipeline.ledger.safety import HoldKind, raise_hold, read_breaker, release_holds
from ucred_pipeline.ledger.schema import attempts, purchases
from ucred_pipeline_tests.corrections.small_indexer import INVALID_TOKEN, Fault, SmallConnection, a_while
from ucred_pipeline_tests.corrections.world import GATES, WITNESS, World
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    QUIESCENCE,
    correction,
    item,
    judge,
    sending,
    signed,
)

_C, _A = CorrectionState, AttemptState
UCRED: Final = 10**18


def test_nothing_is_sent_within_the_grace_period(world: World) -> None:
    """A verdict that a wrong clock gave too early is not acted upon: grace is looked at before a send."""
    world.lack(1, 2)
    with world.ledger.write() as connection:
        chosen = purchases.c.payment_intent == item(1).payment_intent
        connection.execute(update(purchases).where(chosen).values(due_since=world.clock.now()))

    issued = world.run()

    assert (issued.confirmed, dict(issued.not_sent)) == (1, {"within_grace": 1})
    assert world.posts() == [item(2).account]


def test_a_clock_that_steps_back_after_the_look_shortens_no_wait(world: World) -> None:
    """Time is counted on from the look, when the clock agreed with the indexer's; no wait shortens."""
    world.lack(1)
    looked = world.clock.now()

    def step_back() -> None:
        if world.indexer.opened == 2:
            world.clock.wall -= timedelta(minutes=10)

    world.indexer.steps["balance"] = step_back
    world.run()

    (attempt,) = world.indexer.posted
    assert attempt.began == looked
    assert attempt.settles_after == looked + timedelta(seconds=20) + QUIESCENCE


def test_what_lacks_is_credited_once(any_world: World) -> None:
    """Each purchase gets its UCRED, and a second run sends nothing."""
    any_world.lack(1, 2, 3)

    issued = any_world.run()
    any_world.judge()
    again = any_world.run()

    assert (issued.confirmed, issued.stopped, again.confirmed) == (3, None, 0)
    credited = {item(number).account: UCRED for number in (1, 2, 3)}
    assert any_world.indexer.balances == credited | {WITNESS: 1}
    assert [any_world.state(number) for number in (1, 2, 3)] == [_C.CONFIRMED] * 3
    assert any_world.mirrored(1) == UCRED


def test_nothing_leaves_before_it_is_written(any_world: World) -> None:
    """When a request arrives, another connection to the ledger reads it as sending, with its memo."""
    seen: list[tuple[str, str]] = []

    def look(attempt: Attempt) -> None:
        with any_world.ledger.read() as connection:
            assert live_attempt(connection, attempt.correction) == attempt
            row = connection.execute(select(attempts.c.state, attempts.c.memo)).one()
        seen.append((row.state, row.memo))

    any_world.indexer.on_post = look
    any_world.lack(1)
    any_world.run()

    assert seen == [("sending", any_world.indexer.posted[0].memo)]
    assert any_world.indexer.posted[0].memo.startswith("correction:1.x:")


def test_the_key_names_purchase_and_kind(world: World) -> None:
    """The key by which an indexer may know a repeat is that of the purchase, in every attempt."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [Fault.NEVER_LEFT]
    world.run()
    world.clock.advance(timedelta(minutes=2))
    world.judge()
    world.run()

    assert world.indexer.keys == [idempotency_key("pi_1", CorrectionKind.CORRECTION)] * 2
    assert idempotency_key("pi_1", CorrectionKind.MANUAL) not in world.indexer.keys
    assert idempotency_key("pi_2", CorrectionKind.CORRECTION) not in world.indexer.keys


@pytest.mark.parametrize(
    "fault, state, attempt",
    [
        (Fault.NEVER_LEFT, _C.PLANNED, _A.NOT_APPLIED),
        (Fault.LOST_REQUEST, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.LOST_REPLY, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.TRUNCATED, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.PROXY_PAGE_BEFORE, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.PROXY_PAGE_AFTER, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.ERROR_BEFORE, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.ERROR_AFTER, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.TOO_MANY, _C.IN_DOUBT, _A.IN_DOUBT),
        (Fault.OVERFLOW, _C.REFUSED, _A.NOT_APPLIED),
        (Fault.BAD_REQUEST, _C.REFUSED, _A.NOT_APPLIED),
        (Fault.WRONG_TOKEN, _C.PLANNED, _A.NOT_APPLIED),
    ],
)
def test_each_fault_leads_to_its_state(
    world: World, fault: Fault, state: CorrectionState, attempt: AttemptState
) -> None:
    """What the answer proves is what the ledger says, and at once there is no second request."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [fault]

    world.run()
    assert (world.state(1), world.attempts(1)) == (state, [attempt])

    world.judge()
    world.run()
    assert len(world.indexer.posted) == 1


def test_a_doubt_blocks_its_account_alone(world: World) -> None:
    """What else the account lacks waits; other accounts go on."""
    account = item(1).account
    world.lack(1, 2, account=account)
    world.lack(3)
    world.indexer.faults[account] = [Fault.LOST_REPLY]

    issued = world.run()

    assert (issued.confirmed, issued.in_doubt, dict(issued.not_sent)) == (1, 1, {"account_busy": 1})
    assert world.posts().count(account) == 1


def test_an_account_takes_one_at_a_time(world: World) -> None:
    """Purchases of one account are credited one after the other, on the balance that the last one left."""
    account = item(1).account
    world.indexer.balances[account] = 5
    world.lack(1, 2, 3, account=account)

    issued = world.run()

    assert issued.confirmed == 3
    assert [attempt.balance_before for attempt in world.indexer.posted] == [5, 5 + UCRED, 5 + 2 * UCRED]
    assert world.indexer.most_under_way == 1


def test_accounts_go_in_parallel(world: World) -> None:
    """Requests of different accounts are under way together, as many as the settings say."""
    world.lack(*range(6))

    assert world.run(parallel_accounts=3).confirmed == 6
    assert world.indexer.most_under_way == 3


def credited_by_hand(world: World) -> None:
    """Let support credit the account outside."""
    world.indexer.balances[item(1).account] = UCRED


def credited_and_read(world: World) -> None:
    """Let support credit the account, and another run read the balance and not yet judge it."""
    credited_by_hand(world)
    with world.ledger.write() as connection:
        reading = BalanceReading(item(1).account, UCRED, world.clock.now() + A_SECOND, None)
        store_balances(connection, [reading])


@pytest.mark.parametrize("happens", [credited_by_hand, credited_and_read])
def test_evidence_that_changed_drops_the_credit(world: World, happens: Callable[[World], None]) -> None:
    """A balance that is not the one that was judged proves the verdict out of date: nothing is sent."""
    world.lack(1, 2)
    happens(world)

    issued = world.run()

    assert (issued.confirmed, dict(issued.not_sent)) == (1, {"evidence_changed": 1})
    assert item(1).account not in world.posts()
    assert (world.state(1), world.reason(1)) == (_C.PLANNED, "evidence_changed")


def test_evidence_that_another_run_reads_meanwhile_drops_the_credit(world: World) -> None:
    """A credit by hand that another run mirrors while this one issues is not taken for judged."""
    world.lack(1)

    def meanwhile() -> None:
        if world.indexer.opened == 2:
            credited_and_read(world)

    world.indexer.steps["open"] = meanwhile
    issued = world.run()

    assert dict(issued.not_sent) == {"evidence_changed": 1}
    assert world.indexer.posted == []


@pytest.mark.parametrize(
    "changes, gate",
    [
        ({"build": Build("rust-l1-indexer", "0.2.0")}, "unknown_build"),
        ({"build": Build("another", "0.1.0")}, "unknown_build"),
        ({"skew": timedelta(seconds=32)}, "clocks_disagree"),
        ({"skew": timedelta(seconds=-400)}, "clocks_disagree"),
        ({"tells_the_time": False}, "clocks_disagree"),
        ({"probe": INVALID_TOKEN}, "token_refused"),
        ({"probe": Reply(502, b"<html>")}, "token_unproved"),
        ({"probe": Reply(200, b"{}")}, "token_unproved"),
        ({"unreachable": {"look"}}, "indexer_unreachable"),
        ({"unreachable": {"probe"}}, "indexer_unreachable"),
    ],
)
def test_a_closed_gate_lets_nothing_through(world: World, changes: dict[str, Any], gate: str) -> None:
    """Before the first credit build, clocks, token and memory are asked for; one that fails ends the run."""
    world.lack(1, 2)
    for name, value in changes.items():
        setattr(world.indexer, name, value)

    issued = world.run()

    assert (issued.stopped, issued.confirmed, world.indexer.posted) == (gate, 0, [])
    assert issued.advice
    assert world.state(1) is _C.PLANNED
    assert world.holds() == []


def test_a_refused_token_is_forgotten_once_a_good_one_is_proved(world: World) -> None:
    """The breaker remembers the refusal, the next run with a good token goes on, one at a time."""
    world.lack(1, 2)
    world.indexer.probe, good = INVALID_TOKEN, world.indexer.probe
    world.run()
    with world.ledger.read() as connection:
        assert read_breaker(connection).token_refused

    world.indexer.probe = good
    issued = world.run()

    assert (issued.confirmed, world.indexer.most_under_way) == (2, 1)
    with world.ledger.read() as connection:
        assert not read_breaker(connection).token_refused


def test_a_token_that_is_refused_under_way_costs_one_attempt(world: World) -> None:
    """When the first credit says 401, the rest of the run is not tried."""
    world.lack(*range(5))
    for number in range(5):
        world.indexer.faults[item(number).account] = [Fault.WRONG_TOKEN]

    issued = world.run(parallel_accounts=1)

    assert (issued.stopped, len(world.indexer.posted)) == ("token_refused", 1)
    assert dict(issued.not_sent) == {"token_refused": 4}
    assert "RUST_L1_ADMIN_TOKEN" in issued.advice


def test_what_is_not_sent_yet_when_the_run_stops_is_not_sent(world: World) -> None:
    """Of the accounts in parallel, those that are still being read are given back, and not sent."""
    world.lack(*range(5))
    world.indexer.slow = {item(number).account for number in range(1, 5)}
    world.indexer.faults[item(0).account] = [Fault.WRONG_TOKEN]

    issued = world.run(parallel_accounts=3)

    assert (issued.stopped, world.posts()) == ("token_refused", [item(0).account])
    assert dict(issued.not_sent) == {"token_refused": 4}
    assert [world.state(number) for number in range(5)] == [_C.PLANNED] * 5


def test_a_429_ends_the_run(world: World) -> None:
    """The indexer asked to slow down: nothing more is sent, and the advice says which setting to change."""
    world.lack(1, 2, 3)
    world.indexer.faults[item(1).account] = [Fault.TOO_MANY]

    issued = world.run(parallel_accounts=1, early_429=True)

    assert (issued.stopped, len(world.indexer.posted)) == ("breaker_too_many_requests", 1)
    assert world.state(1) is _C.PLANNED
    assert "credits_per_minute" in issued.advice


def test_three_doubts_in_a_row_open_the_breaker(world: World) -> None:
    """After the third the run ends, and the next one begins with one at a time."""
    world.lack(*range(6))
    for number in range(3):
        world.indexer.faults[item(number).account] = [Fault.LOST_REPLY]

    issued = world.run(parallel_accounts=1)
    assert (issued.stopped, issued.in_doubt, len(world.indexer.posted)) == ("breaker_no_answer", 3, 3)

    world.judge()
    issued = world.run()
    assert (issued.confirmed, world.indexer.most_under_way) == (3, 1)
    with world.ledger.read() as connection:
        assert not read_breaker(connection).one_at_a_time


def test_a_success_between_doubts_keeps_the_breaker_closed(world: World) -> None:
    """Only doubts in a row count."""
    world.lack(*range(5))
    for number in (0, 1, 3, 4):
        world.indexer.faults[item(number).account] = [Fault.LOST_REPLY]

    issued = world.run(parallel_accounts=1)

    assert (issued.stopped, issued.in_doubt, issued.confirmed) == (None, 4, 1)


def test_a_run_opens_the_breaker_once(world: World) -> None:
    """Eight doubts at once are one opening, so that three runs and not one ask for a person."""
    numbers = iter(range(100))
    for opening in (1, 2, 3):
        lacking = [next(numbers) for _ in range(8)]
        world.lack(*lacking)
        for number in lacking:
            world.indexer.faults[item(number).account] = [Fault.LOST_REPLY]
        world.run()
        world.judge()
        with world.ledger.read() as connection:
            assert read_breaker(connection).openings_in_a_row == opening
        assert ([HoldKind.BREAKER] if opening == 3 else []) == [hold.kind for hold in world.holds()]

    world.lack(99)
    assert world.run().stopped == "held"
    with world.ledger.write() as connection:
        release_holds(connection, signed(world.clock.now()))
    world.indexer.faults.clear()
    assert world.run().stopped is None
    assert item(99).account in world.indexer.applied


def test_an_indexer_that_forgot_is_a_hold(world: World) -> None:
    """When an account of ours holds less than its receipt says, nothing is sent until a person decides."""
    world.lack(1)
    world.run()
    world.judge()
    world.lack(2)
    world.indexer.forget()

    issued = world.run()

    assert (issued.stopped, world.posts()) == ("indexer_forgot", [item(1).account])
    assert [hold.kind for hold in world.holds()] == [HoldKind.INDEXER_FORGOT]
    assert world.run().stopped in {"held", "indexer_forgot"}
    assert world.posts() == [item(1).account]


def test_an_indexer_that_forgets_under_way_is_a_hold(world: World) -> None:
    """The newest receipt is held against the indexer before each credit."""
    world.lack(1, 2, 3)

    def restart() -> None:
        if len(world.indexer.posted) == 1:
            world.indexer.forget()

    world.indexer.steps["look"] = restart
    issued = world.run(parallel_accounts=1)

    assert (issued.stopped, issued.confirmed, len(world.indexer.posted)) == ("indexer_forgot", 1, 1)
    assert [hold.kind for hold in world.holds()] == [HoldKind.INDEXER_FORGOT]


def test_a_receipt_that_comes_while_another_account_is_looked_at_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is acknowledged until the balance is read again is among what the indexer must remember."""
    del world.indexer.balances[WITNESS]
    world.lack(1, 2)
    honest = SmallConnection.balance

    async def balance(connection: SmallConnection, account: str) -> int:
        if account == item(2).account:
            while world.state(1) is not _C.CONFIRMED:
                await a_while()
            await a_while()
            world.indexer.forget()
        return await honest(connection, account)

    monkeypatch.setattr(SmallConnection, "balance", balance)
    issued = world.run(parallel_accounts=2)

    assert (issued.stopped, issued.confirmed, world.posts()) == ("indexer_forgot", 1, [item(1).account])


def test_a_receipt_that_another_sender_got_meanwhile_counts(world: World) -> None:
    """Where the sender's lock was lost, what the other was told since we began shows a restart as well."""
    del world.indexer.balances[WITNESS]
    world.lack(1)

    def meanwhile() -> None:
        if world.indexer.opened == 2:
            another = world.book()
            another.conclude(
                sending(world.ledger, another, world.clock, item(2)), ACKNOWLEDGED, A_SECOND, None
            )
            world.indexer.forget()

    world.indexer.steps["open"] = meanwhile
    issued = world.run()

    assert (issued.stopped, world.posts()) == ("indexer_forgot", [])


def test_the_newest_receipt_of_an_account_is_what_the_indexer_must_remember(world: World) -> None:
    """A restart that took two credits of an account and kept a third is noticed by what the second left."""
    del world.indexer.balances[WITNESS]
    world.lack(1, 2, 3, account=item(1).account)
    world.lack(9)

    def restart() -> None:
        if len(world.indexer.applied) == 2:
            world.indexer.forget()

    world.indexer.steps["credit"] = restart
    issued = world.run(parallel_accounts=1)

    assert (issued.stopped, world.posts()) == ("indexer_forgot", [item(1).account] * 3)


def test_an_acknowledgement_that_names_less_than_before_is_a_doubt(world: World) -> None:
    """A restart between the look and the credit: it took effect in a state that has lost the rest."""
    world.indexer.balances[item(1).account] = 7
    world.lack(1)
    world.indexer.steps["credit"] = world.indexer.forget

    issued = world.run()

    assert (issued.confirmed, issued.in_doubt, world.state(1)) == (0, 1, _C.IN_DOUBT)
    assert (world.mirrored(1), world.indexer.applied) == (7, [item(1).account])


def test_where_customers_spend_an_acknowledgement_may_name_less(world: World) -> None:
    """They may have spent between the look and the credit."""
    world.indexer.balances[item(1).account] = 7
    world.lack(1)
    world.indexer.steps["credit"] = lambda: world.indexer.balances.update({item(1).account: 0})

    issued = world.run(gates=replace(GATES, debits_possible=True))

    assert (issued.confirmed, issued.in_doubt) == (1, 0)


def test_before_a_receipt_the_balances_seen_are_held_against_the_indexer(world: World) -> None:
    """A reset is noticed by an empty ledger too, when it has seen balances."""
    world.indexer.balances[item(1).account] = 7
    world.lack(1, 2)
    world.indexer.forget()

    assert world.run().stopped == "indexer_forgot"
    assert world.indexer.posted == []


@pytest.mark.parametrize("spenders, forgot", [(1, False), (2, False), (3, True)])
def test_where_customers_spend_half_must_have_lost(world: World, spenders: int, *, forgot: bool) -> None:
    """With debits, a customer or two who spent are no reset; half of the anchors or more are."""
    world.lack(*range(5))
    world.run()
    world.judge()
    for number in range(spenders):
        world.indexer.balances[item(number).account] = 0
    world.lack(9)

    issued = world.run(gates=replace(GATES, debits_possible=True))

    assert forgot == (issued.stopped == "indexer_forgot")
    assert (not forgot) == (item(9).account in world.posts())


@pytest.mark.parametrize("step", ["look", "balance", "open"])
def test_an_indexer_that_goes_away_before_a_credit_is_no_doubt(world: World, step: str) -> None:
    """What could not be asked was not sent: the claim is given back, and the run ends."""
    world.lack(1, 2)

    def go_away() -> None:
        if world.indexer.opened == 2:
            world.indexer.unreachable.add(step)

    world.indexer.steps["open"] = go_away
    issued = world.run(parallel_accounts=1)

    assert (issued.stopped, world.indexer.posted) == ("indexer_unreachable", [])
    assert [world.state(1), world.state(2)] == [_C.PLANNED, _C.PLANNED]


@pytest.mark.parametrize(
    "held_up",
    [
        lambda world: world.clock.advance(timedelta(seconds=21)),
        lambda world: setattr(world.clock, "wall", world.clock.wall + timedelta(seconds=21)),
        lambda world: setattr(world.clock, "running_s", world.clock.running_s + 21),
    ],
    ids=["both clocks", "wall clock", "monotonic clock"],
)
def test_what_was_held_up_is_never_sent(
    world: World, held_up: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its deadline a request stays here, by whichever clock; it is known to have had no effect."""
    world.lack(1)
    begin = CorrectionBook.begin_sending

    def slowly(*told: Any) -> Attempt:
        attempt: Attempt = begin(*told)
        held_up(world)
        return attempt

    monkeypatch.setattr(CorrectionBook, "begin_sending", slowly)
    issued = world.run()

    assert (issued.confirmed, world.indexer.posted) == (0, [])
    assert (world.state(1), world.reason(1), world.attempts(1)) == (
        _C.PLANNED,
        "never_sent",
        [_A.NOT_APPLIED],
    )


def test_a_pace_does_not_use_up_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly credits go, each is read and sent when its turn has come."""

    async def sleep(seconds: float) -> None:
        world.clock.advance(timedelta(seconds=seconds))

    monkeypatch.setattr("ucred_pipeline.corrections.issuing.asyncio.sleep", sleep)
    world.lack(*range(4))

    issued = world.run(pace_s=60, parallel_accounts=1)

    assert issued.confirmed == 4
    sent = [attempt.began for attempt in world.indexer.posted]
    assert all(later - sooner >= timedelta(seconds=60) for sooner, later in pairwise(sent))


def test_limits_end_the_run(world: World) -> None:
    """What is over a limit at the moment of sending stays planned; an approved plan has no limit."""
    world.lack(1, 2, 3)

    issued = world.run(parallel_accounts=1, ceiling=Ceiling(2, 10**24, 10**24))
    assert (issued.confirmed, issued.stopped) == (2, "over_corrections_per_run")

    world.judge()
    issued = world.run(approved=True, ceiling=Ceiling(0, 0, 0))
    assert (issued.confirmed, issued.stopped) == (1, None)


def test_a_hold_in_the_middle_ends_the_run(world: World) -> None:
    """A person's hold is seen before the next credit, not only by the next run."""
    world.lack(1, 2, 3)

    def hold(_: Attempt) -> None:
        with world.ledger.write() as connection:
            raise_hold(connection, HoldKind.PERSON, signed(world.clock.now()))

    world.indexer.on_post = hold
    issued = world.run(parallel_accounts=1)

    assert (issued.confirmed, issued.stopped, len(world.indexer.posted)) == (1, "held", 1)


def test_a_verdict_that_turns_in_the_middle_drops_the_credit(world: World) -> None:
    """A refund that another run has judged meanwhile is respected."""
    world.lack(1, 2)

    def refund(_: Attempt) -> None:
        judge(world.ledger, "pi_2", verdict=Verdict.WITHDRAWN)

    world.indexer.on_post = refund
    issued = world.run(parallel_accounts=1)

    assert (issued.confirmed, dict(issued.not_sent)) == (1, {"no_longer_lacking": 1})


@pytest.mark.parametrize("failures, longest_s", [(0, 60), (1, 120), (5, 1920), (9, 21600), (2000, 21600)])
def test_a_retry_waits_longer_each_time(world: World, failures: int, longest_s: int) -> None:
    """The pause doubles, up to its longest, however often it failed; never in step with others."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [Fault.NEVER_LEFT] * 2
    world.run()
    with world.ledger.write() as connection:
        connection.exec_driver_sql(f"UPDATE corrections SET failures = {failures}, due = NULL")
    world.judge()

    world.run(attempts=10_000)

    with world.ledger.read() as connection:
        due = connection.exec_driver_sql("SELECT due FROM corrections").scalar_one()
    waits = due / 1_000_000 - world.clock.now().timestamp()
    assert longest_s / 2 <= waits <= longest_s


def test_the_last_attempt_asks_a_person(world: World) -> None:
    """After so many attempts that had no effect the credit is refused, until a person has it sent again."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [Fault.NEVER_LEFT] * 4
    for _ in range(3):
        world.run(attempts=3)
        world.clock.advance(timedelta(hours=6))
        world.judge()

    refused = correction(world.ledger, item(1))
    assert (refused.state, refused.reason) == (CorrectionState.REFUSED, "attempts_exhausted")
    assert refused.due is None
    assert world.run(attempts=3).confirmed == 0
    assert world.book().retry_refused(refused.id, signed(world.clock.now()))
    world.run(attempts=3)
    again = correction(world.ledger, item(1))
    assert (again.state, again.failures) == (CorrectionState.PLANNED, 1)
    world.clock.advance(timedelta(hours=6))
    world.judge()
    assert world.run(attempts=3).confirmed == 1


def test_the_pause_before_a_retry_outlasts_a_run(world: World) -> None:
    """A run that comes too soon plans the credit again and does not send it; a later one does."""
    world.lack(1)
    world.indexer.faults[item(1).account] = [Fault.NEVER_LEFT]
    world.run()
    world.judge()

    assert dict(world.run().not_sent) == {"waiting_to_retry": 1}
    assert dict(world.run().not_sent) == {"waiting_to_retry": 1}
    world.clock.advance(timedelta(minutes=1))
    assert world.run().confirmed == 1


def test_what_is_sent_says_what_was_known(world: World) -> None:
    """An attempt keeps the build, the root and the balance before, and when its absence begins to count."""
    world.indexer.balances[item(1).account] = 3
    world.lack(1)
    root = world.indexer.root

    world.run()

    attempt = world.indexer.posted[0]
    assert (attempt.balance_before, attempt.root_before, attempt.account_quiet) == (3, root, True)
    assert attempt.deadline == world.clock.now() + timedelta(seconds=20)
    assert attempt.settles_after == attempt.deadline + QUIESCENCE


def test_a_failure_that_nobody_foresaw_leaves_a_doubt(world: World) -> None:
    """An error in the middle of a request ends the run, and what was being sent is in doubt, not planned."""
    world.lack(1)

    def fail(_: Attempt) -> None:
        raise NoReplyAtAll

    world.indexer.on_post = fail
    with pytest.raises(ExceptionGroup):
        world.run()
    world.indexer.on_post = None
    world.judge()
    world.run()

    assert (world.state(1), world.attempts(1), len(world.indexer.posted)) == (_C.IN_DOUBT, [_A.IN_DOUBT], 1)


class NoReplyAtAll(Exception):
    """Something that no transport tells."""
