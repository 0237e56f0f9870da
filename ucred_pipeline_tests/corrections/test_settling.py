"""Doubts are settled by evidence that came late enough, or by a person; never by sending again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from ucred_pipeline.corrections.resolving import CannotResolve, Resolver
from ucred_pipeline.corrections.settling import LogProof, Settled, Settler
from ucred_pipeline.domain.corrections import Attempt, AttemptState, CorrectionState, PlanItem
from ucred_pipeline.domain.evidence import CreditLine
from ucred_pipeline.domain.issuances import Issuance
from ucred_pipeline.domain.judging_frames import Decision
from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.ledger.breaks import Break
from ucred_pipeline.ledger.correction_rows import live_attempt
from ucred_pipeline.ledger.history import told_of
from ucred_pipeline.ledger.mirror import store_credit_lines, store_issuances
from ucred_pipeline.ledger.safety import HoldKind
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.corrections.small_indexer import Fault
from ucred_pipeline_tests.corrections.world import WITNESS, World
from ucred_pipeline_tests.ledger.stories import A_SECOND, QUIESCENCE, add_purchase, correction, item, signed

_C, _A = CorrectionState, AttemptState
#: How long after a certificate the payments API may still mint.
GRACE = timedelta(minutes=30)
UCRED: Final = 10**18
OPEN: Final = Settled(open=1)
APPLIED: Final = Settled(applied=1)
NOT_APPLIED: Final = Settled(not_applied=1)
LATE: Final = QUIESCENCE + timedelta(seconds=21)


def doubt(world: World, fault: Fault = Fault.LOST_REPLY, wei: int = 0) -> Attempt:
    """Let one credit end in doubt, on an account that held `wei`."""
    account = item(1).account
    if wei:
        world.indexer.balances[account] = wei
    world.lack(1)
    world.indexer.faults[account] = [fault]
    world.run()
    world.judge()
    with world.ledger.read() as connection:
        attempt = live_attempt(connection, correction(world.ledger, item(1)).id)
    assert attempt is not None
    return attempt


def line_of(attempt: Attempt, **changes: Any) -> CreditLine:
    """Write the line of the indexer's log that an attempt would have left."""
    line = CreditLine(
        at=attempt.began,
        asset="UCRED",
        account=attempt.account,
        amount_wei=attempt.amount,
        memo=attempt.memo,
        new_balance_wei=attempt.balance_before + attempt.amount,
        state_root="ef" * 32,
        raw="a line",
    )
    return replace(line, **changes)


def log(world: World, *lines: CreditLine) -> None:
    """Mirror the lines of a log."""
    with world.ledger.write() as connection:
        store_credit_lines(connection, lines)


def proof_at(audited: datetime, **changes: Any) -> LogProof:
    """Prove a log complete up to a root."""
    return replace(LogProof(complete=True, audited=audited, root="99" * 32, lives=1), **changes)


def read_twice(world: World) -> Settled:
    """Read the balances twice, and ask each time."""
    world.read_balances()
    first = world.settle()
    world.clock.advance(A_SECOND)
    world.read_balances()
    return world.settle() if first == OPEN else first


def test_a_line_that_names_the_attempt_settles_it_at_once(any_world: World) -> None:
    """A line of the log is enough, early and from a log that is not complete."""
    attempt = doubt(any_world)
    log(any_world, line_of(attempt))

    assert any_world.settle() == APPLIED
    assert (any_world.state(1), any_world.attempts(1)) == (_C.CONFIRMED, [_A.APPLIED])
    assert any_world.reason(1) == "log_names_the_attempt"
    with any_world.ledger.read() as connection:
        entry = told_of(connection, f"attempt:{attempt.name}")[-1]
    assert (entry.actor, entry.detail["reason"]) == ("pipeline", "log_names_the_attempt")


@pytest.mark.parametrize(
    "changes",
    [
        {"memo": "purchase:1.x"},
        {"memo": "correction:1.x:0123456789abcdef.1"},
        {"account": "acct:user:Buyer1@example.com"},
    ],
)
def test_a_line_of_something_else_settles_nothing(world: World, changes: dict[str, Any]) -> None:
    """Another memo, another correction or another account is not this attempt's."""
    attempt = doubt(world)
    log(world, line_of(attempt, **changes))

    assert world.settle() == OPEN


def test_a_line_of_another_attempt_settles_nothing(world: World) -> None:
    """The number of the attempt counts too."""
    attempt = doubt(world)
    log(world, line_of(attempt, memo=attempt.memo[:-1] + "2"))

    assert world.settle() == OPEN


def test_a_line_of_a_life_that_is_over_settles_nothing(world: World) -> None:
    """A line that the present life does not have is evidence no more."""
    attempt = doubt(world)
    log(world, line_of(attempt))
    log(world)

    assert world.settle() == OPEN


def test_a_complete_log_without_it_settles_it(world: World) -> None:
    """A log that is complete past the quiescence, in the life of the request, shows that it never came."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    log(world, line_of(attempt, memo="topup:ff", state_root=attempt.root_before))

    assert world.settle(proof_at(attempt.settles_after + A_SECOND)) == NOT_APPLIED
    assert (world.state(1), world.attempts(1)) == (_C.PLANNED, [_A.RESOLVED_NOT_APPLIED])
    assert world.reason(1) == "complete_log_without_it"


def too_early(proof: LogProof, attempt: Attempt) -> LogProof:
    """Audit at the moment at which absence begins to count, and not after it."""
    return replace(proof, audited=attempt.settles_after)


def incomplete(proof: LogProof, _: Attempt) -> LogProof:
    """Leave a gap in the log."""
    return replace(proof, complete=False)


@pytest.mark.parametrize("flaw", [too_early, incomplete])
def test_a_log_with_a_flaw_settles_nothing(
    world: World, flaw: Callable[[LogProof, Attempt], LogProof]
) -> None:
    """Absence counts only in a complete log, audited after the quiescence."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    log(world, line_of(attempt, memo="topup:ff", state_root=attempt.root_before))
    proof = proof_at(attempt.settles_after + A_SECOND)

    assert world.settle(flaw(proof, attempt)) == OPEN


def test_a_log_of_another_life_settles_nothing(world: World) -> None:
    """Where the root before the request is on no line of the log, it may have been sent to another state."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    log(world, line_of(attempt, memo="topup:ff"))

    assert world.settle(proof_at(attempt.settles_after + A_SECOND)) == OPEN


def test_a_log_proves_no_absence_where_debits_are_possible(world: World) -> None:
    """With debits a root may come back, so a log proves presence only."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    log(world, line_of(attempt, memo="topup:ff", state_root=attempt.root_before))

    assert world.settle(proof_at(attempt.settles_after + A_SECOND), debits_possible=True) == OPEN


@pytest.mark.parametrize("lives, settled", [(1, NOT_APPLIED), (2, OPEN)])
def test_what_was_sent_to_genesis_needs_a_log_of_one_life(
    world: World, lives: int, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every life begins with the same root, so that it names a life only where there was but one."""
    monkeypatch.setattr(type(world.indexer), "root", state_root(GENESIS))
    attempt = doubt(world, Fault.LOST_REQUEST)

    assert settled == world.settle(proof_at(attempt.settles_after + A_SECOND, lives=lives))


def test_the_same_root_after_the_quiescence_settles_it(world: World) -> None:
    """Without debits, the root of before shows that nothing has happened since."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    proof = proof_at(attempt.settles_after + A_SECOND, root=attempt.root_before, lives=7)

    assert world.settle(proof) == NOT_APPLIED


@pytest.mark.parametrize(
    "fault, settled, state",
    [
        (Fault.LOST_REPLY, APPLIED, _C.CONFIRMED),
        (Fault.LOST_REQUEST, NOT_APPLIED, _C.PLANNED),
    ],
)
def test_a_quiet_account_tells_by_its_balance(
    any_world: World, fault: Fault, settled: Settled, state: CorrectionState
) -> None:
    """Where nobody else writes, the balance has risen by the amount, or has not; exact beyond 64 bits."""
    doubt(any_world, fault, wei=2**70)
    any_world.clock.advance(LATE)

    assert settled == read_twice(any_world)
    assert any_world.state(1) is state


def forget_all_but(world: World, account: str) -> None:
    """Let the indexer restart, and an account come back to what it held."""
    world.indexer.balances = {account: world.indexer.balances[account]}


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST])
def test_an_account_is_not_believed_when_its_witness_fell(world: World, fault: Fault) -> None:
    """A restart and a credit after it may leave an account as it was; then the balance settles nothing."""
    attempt = doubt(world, fault, wei=UCRED)
    assert (attempt.witness, attempt.witness_wei) == (WITNESS, 1)
    forget_all_but(world, attempt.account)
    world.clock.advance(LATE)

    assert read_twice(world) == OPEN


def test_an_account_without_a_witness_is_not_believed(world: World) -> None:
    """Where no other account held anything, a balance that was there before the request proves nothing."""
    del world.indexer.balances[WITNESS]
    attempt = doubt(world, Fault.LOST_REQUEST, wei=UCRED)
    world.clock.advance(LATE)

    assert attempt.witness is None
    assert read_twice(world) == OPEN


def test_an_empty_account_needs_no_witness(world: World) -> None:
    """An account that held nothing and holds nothing was not credited, whatever the indexer forgot."""
    del world.indexer.balances[WITNESS]
    doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(LATE)

    assert read_twice(world) == NOT_APPLIED


def test_a_balance_that_was_read_too_early_settles_nothing(world: World) -> None:
    """Not yet applied is not never applied: only what is read past the quiescence counts."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(attempt.settles_after - world.clock.now() - A_SECOND)
    assert read_twice(world) == OPEN

    world.clock.advance(timedelta(hours=1))
    assert world.settle() == OPEN


def test_one_read_settles_nothing(world: World) -> None:
    """A balance is read twice, with time between."""
    doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(LATE)
    world.read_balances()

    assert [world.settle(), world.settle()] == [OPEN, OPEN]


def test_two_reads_that_differ_settle_nothing(world: World) -> None:
    """What still moves is not settled, until two reads agree."""
    doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(LATE)
    world.read_balances()
    assert world.settle() == OPEN

    world.indexer.balances[item(1).account] = UCRED
    world.clock.advance(A_SECOND)
    world.read_balances()
    assert world.settle() == OPEN
    world.clock.advance(A_SECOND)
    world.read_balances()
    assert world.settle() == APPLIED


_MOVED: Final = [-1, 0, 1, UCRED - 1, UCRED, UCRED + 1, 2 * UCRED]


@pytest.mark.parametrize(
    "others, debits, applied, not_applied",
    [
        (False, False, {UCRED}, {0}),
        (True, False, set(), {0, 1, UCRED - 1}),
        (False, True, {1, UCRED - 1, UCRED, UCRED + 1, 2 * UCRED}, set()),
        (True, True, set(), set()),
    ],
)
@pytest.mark.parametrize("moved", _MOVED)
def test_what_a_balance_proves(
    world: World, moved: int, *, others: bool, debits: bool, applied: set[int], not_applied: set[int]
) -> None:
    """By who else may have moved it, each difference proves the one, the other, or nothing."""
    doubt(world, Fault.LOST_REQUEST, wei=5)
    world.indexer.balances[item(1).account] = 5 + moved
    world.settling = replace(world.settling, other_writers=others, debits_possible=debits)
    world.clock.advance(LATE)

    expected = APPLIED if moved in applied else NOT_APPLIED if moved in not_applied else OPEN
    assert expected == read_twice(world)


@pytest.mark.parametrize("due", [timedelta(minutes=-29), timedelta(minutes=5)])
def test_an_account_with_a_young_certificate_is_not_quiet(world: World, due: timedelta) -> None:
    """The payments API itself may have credited it, so that a rise proves nothing; no rise still does."""
    attempt = doubt(world)
    young = item(2, account=item(1).account)
    with world.ledger.write() as connection:
        add_purchase(connection, young, due_since=attempt.began + due, verdict="pending")
    world.clock.advance(LATE)

    assert read_twice(world) == OPEN


@pytest.mark.parametrize("late, settled", [(A_SECOND, OPEN), (-timedelta(hours=1), APPLIED)])
def test_what_the_log_says_another_gave_is_not_ours(world: World, late: timedelta, settled: Settled) -> None:
    """A line by somebody else since the look at the account explains its rise, in a log with gaps as well."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    world.indexer.balances[attempt.account] = UCRED
    log(world, line_of(attempt, at=attempt.began + late, memo="goodwill"))
    world.clock.advance(LATE)

    assert settled == read_twice(world)


def test_an_account_that_was_not_quiet_stays_so(world: World) -> None:
    """What was still within its grace when the request left is remembered by the attempt."""
    world.lack(1)
    with world.ledger.write() as connection:
        young = item(2, account=item(1).account)
        add_purchase(connection, young, due_since=world.clock.now() - timedelta(minutes=1), verdict="pending")
    world.indexer.faults[item(1).account] = [Fault.LOST_REPLY]
    world.run()
    assert not world.indexer.posted[0].account_quiet
    with world.ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM purchases WHERE payment_intent = 'pi_2'")
    world.clock.advance(LATE)

    assert read_twice(world) == OPEN


def test_what_nothing_settles_is_put_before_a_person(world: World) -> None:
    """After a day a doubt is quarantined; evidence that comes after all still settles it."""
    attempt = doubt(world)
    world.clock.advance(timedelta(hours=24))
    world.settle(other_writers=True)
    assert world.state(1) is _C.IN_DOUBT
    world.clock.advance(A_SECOND)
    assert world.settle(other_writers=True) == OPEN
    assert (world.state(1), world.attempts(1)) == (_C.QUARANTINED, [_A.IN_DOUBT])
    assert world.settle(other_writers=True) == OPEN

    log(world, line_of(attempt))
    assert world.settle(other_writers=True) == APPLIED


def test_two_settlers_settle_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that concluded from older evidence does not undo what another has settled and sent again."""
    doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(LATE)
    world.read_balances()
    world.settle()
    world.clock.advance(A_SECOND)
    world.read_balances()
    slow = world.book()
    settle = slow.settle

    def late(attempt: Attempt, **told: Any) -> bool:
        assert world.settle() == NOT_APPLIED
        world.judge()
        assert world.run().confirmed == 1
        return settle(attempt, **told)

    monkeypatch.setattr(slow, "settle", late)

    assert Settler(world.ledger, slow, world.clock, world.settling).settle(lambda _: None) == OPEN
    assert (world.state(1), world.attempts(1)) == (_C.CONFIRMED, [_A.RESOLVED_NOT_APPLIED, _A.APPLIED])
    assert world.indexer.applied == [item(1).account]


def resolver(world: World) -> Resolver:
    """A person's hand on the breaks of a world."""
    return Resolver(world.ledger, world.book(), GRACE)


def break_of(kind: str) -> Break:
    """Describe an open break of the first purchase."""
    return Break("brk_1", kind, kind, "correction_in_doubt", "pi_1", "1.x", item(1).account, UCRED, NOON)


@pytest.mark.parametrize(
    "decision, state, attempt_state",
    [
        (Decision.CREDITED, _C.CONFIRMED, _A.APPLIED),
        (Decision.NOT_CREDITED, _C.PLANNED, _A.RESOLVED_NOT_APPLIED),
    ],
)
def test_a_person_settles_a_doubt(
    world: World, decision: Decision, state: CorrectionState, attempt_state: AttemptState
) -> None:
    """What a person decides is kept with who and why, and ends the doubt."""
    attempt = doubt(world)
    later = signed(attempt.settles_after + A_SECOND, "seen in the explorer", "ada")

    resolver(world).resolve(break_of("in_doubt"), decision, later)

    assert (world.state(1), world.attempts(1)) == (state, [attempt_state])
    with world.ledger.read() as connection:
        entry = told_of(connection, f"attempt:{attempt.name}")[-1]
    assert (entry.actor, entry.detail["reason"]) == ("ada", "seen in the explorer")


def test_nobody_denies_a_mint_that_may_still_come(world: World) -> None:
    """Within the grace period a person may say that a purchase was credited, and not that it was not."""
    world.lack(1)
    due = NOON - timedelta(days=2) + GRACE
    early, ambiguous = due - A_SECOND, break_of("ambiguous")

    with pytest.raises(CannotResolve, match="may still mint for it, for 0:30:00 from 2026-02-01 12:00:00"):
        resolver(world).resolve(ambiguous, Decision.NOT_CREDITED, signed(early))
    resolver(world).resolve(ambiguous, Decision.CREDITED, signed(early))
    resolver(world).resolve(ambiguous, Decision.NOT_CREDITED, signed(due))

    with world.ledger.read() as connection:
        decided = connection.exec_driver_sql("SELECT decision FROM decisions ORDER BY id").scalars().all()
    assert decided == ["credited", "not_credited"]


def test_nobody_claims_what_the_balance_denies(world: World) -> None:
    """A doubt is not settled as credited where its account has since held too little for it."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    world.clock.advance(attempt.settles_after - world.clock.now() + A_SECOND)
    world.read_balances()
    at = signed(world.clock.now())

    with pytest.raises(CannotResolve, match="holds less than it would with the credit"):
        resolver(world).resolve(break_of("in_doubt"), Decision.CREDITED, at)
    resolver(world).resolve(break_of("in_doubt"), Decision.NOT_CREDITED, at)

    assert world.attempts(1) == [_A.RESOLVED_NOT_APPLIED]


def test_a_doubt_is_settled_whatever_else_is_said_of_its_purchase(world: World) -> None:
    """Two credits of others are over-credited before they are a doubt; a person settles that all the same."""
    attempt = doubt(world)
    later = signed(attempt.settles_after + A_SECOND)

    resolver(world).resolve(break_of("over_credited"), Decision.NOT_CREDITED, later)

    assert world.attempts(1) == [_A.RESOLVED_NOT_APPLIED]


def test_a_part_of_a_credit_is_not_denied(world: World) -> None:
    """Where a part is credited, the whole is not sent on top by a person's word."""
    world.lack(1)
    with world.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE purchases SET reason = 'credited_in_part'")

    with pytest.raises(CannotResolve, match="credit the rest by hand"):
        resolver(world).resolve(break_of("ambiguous"), Decision.NOT_CREDITED, signed(world.clock.now()))


def test_nobody_denies_a_credit_that_may_still_come(world: World) -> None:
    """Before the quiescence is over a person may say that it arrived, and not that it did not."""
    attempt = doubt(world)
    at = signed(attempt.settles_after)

    with pytest.raises(CannotResolve, match="may still take effect until 2026-02-03 12:15:20 UTC"):
        resolver(world).resolve(break_of("in_doubt"), Decision.NOT_CREDITED, at)
    assert world.state(1) is _C.IN_DOUBT

    resolver(world).resolve(break_of("in_doubt"), Decision.CREDITED, at)
    assert world.state(1) is _C.CONFIRMED


def test_what_is_being_sent_is_not_resolved(world: World) -> None:
    """While its sender waits for the answer, nobody decides."""
    world.lack(1)
    refused: list[str] = []

    def try_to_resolve(attempt: Attempt) -> None:
        at = signed(attempt.settles_after + A_SECOND)
        with pytest.raises(CannotResolve) as caught:
            resolver(world).resolve(break_of("in_doubt"), Decision.NOT_CREDITED, at)
        refused.append(str(caught.value))

    world.indexer.on_post = try_to_resolve

    assert world.run().confirmed == 1
    assert "being sent" in refused[0]


def test_an_ambiguous_purchase_is_decided(world: World) -> None:
    """A decision about evidence that contradicts itself is kept, told, and judged with."""
    world.lack(1)

    resolver(world).resolve(break_of("ambiguous"), Decision.CREDITED, signed(world.clock.now()))

    with world.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT decision, actor FROM decisions").all() == [
            ("credited", "ada")
        ]
        assert [entry.event for entry in told_of(connection, "purchase:pi_1")] == ["decided"]
        marked = connection.exec_driver_sql("SELECT judged_with FROM dirty_groups").scalars().all()
    assert marked == [item(1).account]


def test_each_decision_remembers_the_balance(world: World) -> None:
    """Of two decisions on one account, the second too keeps what the account held when it was made."""
    world.indexer.balances[item(1).account] = 5
    world.lack(1, 2, account=item(1).account)

    for payment_intent in ("pi_1", "pi_2"):
        found = replace(break_of("ambiguous"), payment_intent=payment_intent)
        at = signed(world.clock.now())
        resolver(world).resolve(found, Decision.NOT_CREDITED, at)

    with world.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT balance FROM decisions").scalars().all() == ["5", "5"]


@pytest.mark.parametrize("kind", ["lacking", "unissued", "over_credited", "withdrawn", "unpaid"])
def test_other_breaks_are_not_settled_by_a_word(world: World, kind: str) -> None:
    """A break that is no doubt needs something done, and the message says where to read what."""
    with pytest.raises(CannotResolve, match=kind):
        resolver(world).resolve(break_of(kind), Decision.CREDITED, signed(world.clock.now()))


def test_what_was_issued_since_is_known_before_a_rise_is_ours(any_world: World) -> None:
    """The payments API may have minted what a balance shows: its records must be read after that was seen."""
    doubt(any_world)
    any_world.clock.advance(LATE)
    any_world.read_balances()
    assert any_world.settle() == OPEN

    any_world.clock.advance(A_SECOND)
    any_world.read_balances(anew=False)
    assert any_world.settle() == OPEN

    any_world.clock.advance(A_SECOND)
    any_world.read_records()
    any_world.clock.advance(A_SECOND)
    any_world.read_balances(anew=False)
    assert any_world.settle() == APPLIED


def test_a_certificate_that_was_voided_may_have_been_minted(world: World) -> None:
    """Of a purchase that was issued, minted and voided while a doubt was open, its time of issue counts."""
    attempt = doubt(world)
    voided = item(2, account=item(1).account)
    with world.ledger.write() as connection:
        add_purchase(connection, voided, due_since=attempt.began - timedelta(hours=1), voided=True)
        store_issuances(connection, [voided_certificate(voided, attempt.began + timedelta(minutes=5))])
    world.clock.advance(LATE)

    assert read_twice(world) == OPEN


def voided_certificate(found: PlanItem, issued: datetime) -> Issuance:
    """Give a certificate that was taken back."""
    return Issuance("iss_1", found.payment_intent, found.namespace, "a@x.com", None, "voided", issued, issued)


def test_a_line_that_is_gone_was_there(world: World) -> None:
    """What a log has once shown another to have given is not ours, though the log was rotated away since."""
    attempt = doubt(world, Fault.LOST_REQUEST)
    world.indexer.balances[attempt.account] = UCRED
    log(world, line_of(attempt, at=attempt.began + A_SECOND, memo="goodwill"))
    log(world)
    world.clock.advance(LATE)

    assert read_twice(world) == OPEN


@pytest.mark.parametrize("fault, by", [(Fault.LOST_REPLY, "evidence"), (Fault.NEVER_LEFT, "answer")])
def test_a_line_that_names_what_had_no_effect_holds_everything(
    any_world: World, fault: Fault, by: str
) -> None:
    """What was settled as not applied, and is named by a log that comes later, contradicts itself: once."""
    any_world.lack(1)
    any_world.indexer.faults[item(1).account] = [fault]
    any_world.run()
    attempt = any_world.first_attempt(1)
    if by == "evidence":
        any_world.book().settle(attempt, applied=False, signed=signed(attempt.settles_after))
    assert (any_world.settle(), any_world.holds()) == (Settled(), [])

    log(any_world, line_of(attempt))
    for _ in range(2):
        assert any_world.settle() == Settled()

    assert any_world.attempts(1) == [_A.CONTRADICTION]
    (hold,) = any_world.holds()
    assert (hold.kind, attempt.name in hold.detail) == (HoldKind.CONTRADICTION, True)


def test_a_person_may_write_as_much_as_they_like(any_world: World) -> None:
    """A long reason is kept whole, on each database."""
    attempt = doubt(any_world)
    why = signed(attempt.settles_after + A_SECOND, "seen in the explorer " * 20, "ada")

    resolver(any_world).resolve(break_of("in_doubt"), Decision.CREDITED, why)

    assert any_world.reason(1) == why.reason
