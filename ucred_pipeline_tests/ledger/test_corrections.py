"""The book of corrections: each change is one transaction, and what may not go on is told why."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import select

from ucred_pipeline.domain.answers import NO_ANSWER, Answer, AnswerKind, Effect
from ucred_pipeline.domain.corrections import AttemptState, CorrectionState, correction_id
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import attempts_of, live_attempt, reserved_in_a_day
from ucred_pipeline.ledger.corrections import Ceiling, CorrectionBook, NotNow
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import told_of
from ucred_pipeline.ledger.mirror import mark_payments
from ucred_pipeline.ledger.safety import HoldKind, open_epoch, open_holds, raise_hold
from ucred_pipeline.ledger.schema import balances, dirty_groups
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    AMPLE,
    CREDIT_REFUSED,
    NEVER_SENT,
    QUIESCENCE,
    TOKEN_REFUSED,
    UNCLEAR,
    add_plan,
    add_purchase,
    attempt_states,
    book_of,
    correction,
    count_attempts,
    in_doubt,
    item,
    judge,
    planned,
    request_at,
    sending,
    signed,
)

_C, _A = CorrectionState, AttemptState
_LATER: Final = NOON + timedelta(hours=1)


@pytest.fixture
def book(ledger: Ledger, clock: FakeClock) -> CorrectionBook:
    """The corrections in the hands of one sender."""
    return book_of(ledger, clock)


def refused_claim(book: CorrectionBook, name: str) -> str:
    """Claim what may not go on; give the reason."""
    with pytest.raises(NotNow) as caught:
        book.claim(name)
    return caught.value.reason


def refused_sending(
    book: CorrectionBook, clock: FakeClock, name: str, ceiling: Ceiling | None = AMPLE
) -> str:
    """Claim, and begin to send what may not be sent; give the reason."""
    claimed = book.claim(name)
    with pytest.raises(NotNow) as caught:
        book.begin_sending(claimed, request_at(clock.now()), ceiling)
    return caught.value.reason


def marked(ledger: Ledger) -> set[str]:
    """The accounts that are to be judged again."""
    with ledger.read() as connection:
        return set(connection.execute(select(dirty_groups.c.judged_with)).scalars())


def test_a_correction_has_the_same_name_everywhere() -> None:
    """The id follows from purchase, kind and epoch alone: a ledger that lost its rows would give it again."""
    first = correction_id("pi_1", CorrectionKind.CORRECTION, 1)

    assert first == "0d92ca090aa21615"
    assert first == correction_id("pi_1", CorrectionKind.CORRECTION, 1)
    assert first not in {
        correction_id("pi_2", CorrectionKind.CORRECTION, 1),
        correction_id("pi_1", CorrectionKind.MANUAL, 1),
        correction_id("pi_1", CorrectionKind.CORRECTION, 2),
    }


def test_a_plan_is_accepted_once(ledger: Ledger, book: CorrectionBook) -> None:
    """The same item in a later plan is the same correction, which joins that plan."""
    first = planned(ledger, book, item(1))
    later = add_plan(ledger, [item(1), item(2)], "later")

    again = book.accept(later, [item(1)])

    assert [first[0].id] == [found.id for found in again]
    assert [later] == [found.plan for found in again]
    assert correction(ledger, item(1)).state is _C.PLANNED


@pytest.mark.parametrize("ended", [_C.SUPERSEDED, _C.CANCELLED])
def test_what_lacks_again_is_planned_again(
    ledger: Ledger, book: CorrectionBook, ended: CorrectionState
) -> None:
    """A correction that ended without a credit comes back when the evidence turns, under its old name."""
    found = planned(ledger, book, item(1))[0]
    book.withdraw(found.id, ended, "credited_by_another")
    assert correction(ledger, item(1)).state is ended

    again = book.accept(str(found.plan), [item(1)])

    assert [(found.id, _C.PLANNED, "lacking_again")] == [(one.id, one.state, one.reason) for one in again]


@pytest.mark.parametrize(
    "answer", [ACKNOWLEDGED, UNCLEAR, CREDIT_REFUSED], ids=["confirmed", "in_doubt", "refused"]
)
def test_what_was_sent_is_not_planned_again(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock, answer: Answer
) -> None:
    """A purchase that was credited, may have been, or was refused for good is not planned again."""
    book.conclude(sending(ledger, book, clock, item(1)), answer, A_SECOND, None)

    assert book.accept(add_plan(ledger, [item(1)], "later"), [item(1)]) == []


@pytest.mark.parametrize("ended", [None, _C.SUPERSEDED])
def test_another_kind_does_not_come_beside(
    ledger: Ledger, book: CorrectionBook, ended: CorrectionState | None
) -> None:
    """While support's credit of a purchase is open, the pipeline's own does not begin, and is no error."""
    manual = item(1, kind=CorrectionKind.MANUAL)
    if ended is not None:
        own = planned(ledger, book, item(1))[0]
        book.withdraw(own.id, ended, "credited_by_another")
        book.accept(add_plan(ledger, [manual]), [manual])
    else:
        planned(ledger, book, manual)

    assert book.accept(add_plan(ledger, [item(1)]), [item(1)]) == []
    assert correction(ledger, manual).state is _C.PLANNED


def test_a_claim_is_the_senders_own(ledger: Ledger, book: CorrectionBook) -> None:
    """A claim raises the fence, and a second claim is refused."""
    found = planned(ledger, book, item(1))[0]

    claimed = book.claim(found.id)

    assert (_C.CLAIMED, found.fence + 1) == (claimed.state, claimed.fence)
    assert refused_claim(book, found.id) == "already_claimed"


def hold(ledger: Ledger) -> None:
    """Let a person hold everything."""
    with ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, signed(NOON))


def mark_payment(ledger: Ledger) -> None:
    """Let another run have read something new of the payment."""
    with ledger.write() as connection:
        mark_payments(connection, ["pi_1"])


@pytest.mark.parametrize(
    "happens, reason",
    [
        (hold, "held"),
        (lambda ledger: judge(ledger, "pi_1", verdict=Verdict.CREDITED), "no_longer_lacking"),
        (lambda ledger: judge(ledger, "pi_1", verdict=Verdict.WITHDRAWN), "no_longer_lacking"),
        (lambda ledger: judge(ledger, "pi_1", verdict=None), "no_longer_lacking"),
        (lambda ledger: judge(ledger, "pi_1", entitlement=2), "purchase_changed"),
        (lambda ledger: judge(ledger, "pi_1", account="acct:user:b@x.com"), "purchase_changed"),
        (lambda ledger: judge(ledger, "pi_1", namespace="renamed.x"), "purchase_changed"),
        (lambda ledger: judge(ledger, "pi_1", refunded=True), "evidence_changed"),
        (lambda ledger: judge(ledger, "pi_1", disputed=True), "evidence_changed"),
        (lambda ledger: judge(ledger, "pi_1", voided=True), "evidence_changed"),
        (lambda ledger: judge(ledger, "pi_1", succeeded=False), "evidence_changed"),
        (mark_payment, "evidence_changed"),
    ],
)
def test_a_claim_looks_again(
    ledger: Ledger, book: CorrectionBook, happens: Callable[[Ledger], None], reason: str
) -> None:
    """Between plan and claim much may happen; then nothing is claimed, and the reason says what it was."""
    found = planned(ledger, book, item(1))[0]

    happens(ledger)

    assert reason == refused_claim(book, found.id)
    assert correction(ledger, item(1)).state is _C.PLANNED


@pytest.mark.parametrize("answer", [UNCLEAR, None], ids=["in_doubt", "claimed"])
def test_an_account_has_one_correction_under_way(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock, answer: Answer | None
) -> None:
    """While one correction of an account is claimed or in doubt, its others wait."""
    other = planned(ledger, book, item(2, account=item(1).account))[0]
    if answer is not None:
        in_doubt(ledger, book, clock, item(1))
    else:
        book.claim(planned(ledger, book, item(1))[0].id)

    assert refused_claim(book, other.id) == "account_busy"


def test_what_failed_waits(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A correction that is to go again later cannot be claimed before, and can from then on."""
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, NEVER_SENT, A_SECOND, NOON + timedelta(minutes=1))

    assert refused_claim(book, attempt.correction) == "waiting_to_retry"
    clock.advance(timedelta(minutes=1))
    assert book.claim(attempt.correction).failures == 1


def test_a_claim_is_given_back(ledger: Ledger, book: CorrectionBook) -> None:
    """What was let go can be claimed again, and its account is looked at again."""
    claimed = book.claim(planned(ledger, book, item(1))[0].id)

    book.let_go(claimed, _C.PLANNED, "evidence_changed")

    assert correction(ledger, item(1)).state is _C.PLANNED
    assert {item(1).account} == marked(ledger)
    assert claimed.fence + 1 == book.claim(claimed.id).fence


def test_a_lost_claim_sends_nothing(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A sender that was thought dead, and whose claim another took, can neither send nor give it back."""
    lost = book.claim(planned(ledger, book, item(1))[0].id)
    book.sweep_silent()
    taken = book_of(ledger, clock, owner="host:2").claim(lost.id)

    with pytest.raises(NotNow, match="claim_lost"):
        book.begin_sending(lost, request_at(clock.now()), AMPLE)
    with pytest.raises(NotNow, match="claim_lost"):
        book.let_go(lost, _C.PLANNED, "evidence_changed")

    assert lost.fence + 1 == taken.fence
    assert (correction(ledger, item(1)).state, count_attempts(ledger)) == (_C.CLAIMED, 0)


def test_sending_is_written_before_it_is_done(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """The attempt says what will be sent, and what was known when it was."""
    attempt = sending(ledger, book, clock, item(1), balance_before=2**65)

    found = correction(ledger, item(1))
    assert found.state is _C.SENDING
    assert attempt.state is _A.SENDING
    assert attempt.memo == f"correction:1.x:{found.id}.1"
    assert attempt.name == f"{found.id}.1"
    assert (attempt.amount, attempt.balance_before) == (WEI_PER_UCRED, 2**65)
    assert attempt.settles_after - attempt.deadline == QUIESCENCE
    with ledger.read() as connection:
        assert live_attempt(connection, found.id) == attempt


def test_supports_credit_has_its_own_memo(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A manual mint says so, and still names its attempt."""
    attempt = sending(ledger, book, clock, item(1, kind=CorrectionKind.MANUAL))

    assert attempt.memo == f"manual_credit:1.x:{attempt.correction}.1"


def test_a_hold_after_the_claim_is_seen(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A person's hold stops what was claimed and not yet sent, and it can be given back."""
    claimed = book.claim(planned(ledger, book, item(1))[0].id)
    hold(ledger)

    with pytest.raises(NotNow, match="held"):
        book.begin_sending(claimed, request_at(clock.now()), AMPLE)
    book.let_go(claimed, _C.PLANNED, "held")

    assert (correction(ledger, item(1)).state, count_attempts(ledger)) == (_C.PLANNED, 0)


def test_a_refund_after_the_claim_is_seen(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """What another run has read of the payment meanwhile keeps the request back, judged or not."""
    claimed = book.claim(planned(ledger, book, item(1))[0].id)
    judge(ledger, "pi_1", refunded=True)

    with pytest.raises(NotNow, match="evidence_changed"):
        book.begin_sending(claimed, request_at(clock.now()), AMPLE)
    assert count_attempts(ledger) == 0


def test_a_new_epoch_after_the_claim_is_seen(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """What was claimed in an epoch that has been closed is not sent."""
    claimed = book.claim(planned(ledger, book, item(1))[0].id)
    with ledger.write() as connection:
        open_epoch(connection, signed(NOON))

    with pytest.raises(NotNow):
        book.begin_sending(claimed, request_at(clock.now()), AMPLE)

    assert (correction(ledger, item(1)).state, count_attempts(ledger)) == (_C.EPOCH_CLOSED, 0)


@pytest.mark.parametrize(
    "ceiling, reason",
    [
        (Ceiling(2, 10**24, 10**24), "over_corrections_per_run"),
        (Ceiling(9, 3 * WEI_PER_UCRED - 1, 10**24), "over_ucred_per_run"),
        (Ceiling(9, 10**24, 3 * WEI_PER_UCRED - 1), "over_ucred_per_day"),
    ],
)
def test_limits_hold_at_the_last_moment(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock, ceiling: Ceiling, reason: str
) -> None:
    """What was acknowledged and what is in doubt both count against the limits of a run and a day."""
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    in_doubt(ledger, book, clock, item(2))
    found = planned(ledger, book, item(3))[0]

    assert reason == refused_sending(book, clock, found.id, ceiling)
    assert count_attempts(ledger) == 2


@pytest.mark.parametrize("ceiling", [Ceiling(3, 3 * WEI_PER_UCRED, 3 * WEI_PER_UCRED), None])
def test_limits_let_pass_what_is_within(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock, ceiling: Ceiling | None
) -> None:
    """Exactly at the limits a credit is sent; an approved plan has none."""
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    in_doubt(ledger, book, clock, item(2))
    found = planned(ledger, book, item(3))[0]

    attempt = book.begin_sending(book.claim(found.id), request_at(clock.now()), ceiling)

    assert attempt.state is _A.SENDING


def test_what_had_no_effect_is_free_again(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """An amount that is known not to have arrived counts no more; of one correction all attempts are one."""
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, NEVER_SENT, A_SECOND, None)

    again = book.begin_sending(
        book.claim(attempt.correction), request_at(clock.now()), Ceiling(1, WEI_PER_UCRED, WEI_PER_UCRED)
    )

    assert again.number == 2


def test_a_day_forgets_receipts_and_no_doubt(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """After 24 hours an acknowledged amount counts no more; one in doubt counts until it is settled."""
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    in_doubt(ledger, book, clock, item(2))
    clock.advance(timedelta(hours=24))

    with ledger.read() as connection:
        assert reserved_in_a_day(connection, NOON + timedelta(hours=23)) == 2 * WEI_PER_UCRED
        assert reserved_in_a_day(connection, clock.now()) == WEI_PER_UCRED


def test_a_run_counts_its_own(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """The limit of a run is of that run alone."""
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    found = planned(ledger, book, item(2))[0]
    ceiling = Ceiling(1, WEI_PER_UCRED, 10**24)

    next_run = book_of(ledger, clock, run_id="next")
    assert next_run.begin_sending(next_run.claim(found.id), request_at(clock.now()), ceiling).number == 1


@pytest.mark.parametrize(
    "answer, attempt_state, state, failures",
    [
        (ACKNOWLEDGED, _A.APPLIED, _C.CONFIRMED, 0),
        (NEVER_SENT, _A.NOT_APPLIED, _C.PLANNED, 1),
        (TOKEN_REFUSED, _A.NOT_APPLIED, _C.PLANNED, 1),
        (Answer(Effect.NOT_APPLIED, AnswerKind.TOO_MANY_REQUESTS, 429), _A.NOT_APPLIED, _C.PLANNED, 1),
        (Answer(Effect.IN_DOUBT, AnswerKind.TOO_MANY_REQUESTS, 429), _A.IN_DOUBT, _C.IN_DOUBT, 1),
        (CREDIT_REFUSED, _A.NOT_APPLIED, _C.REFUSED, 1),
        (Answer(Effect.NOT_APPLIED, AnswerKind.REQUEST_REFUSED, 422), _A.NOT_APPLIED, _C.REFUSED, 1),
        (Answer(Effect.IN_DOUBT, AnswerKind.CREDIT_REFUSED, 500), _A.IN_DOUBT, _C.IN_DOUBT, 1),
        (UNCLEAR, _A.IN_DOUBT, _C.IN_DOUBT, 1),
        (NO_ANSWER, _A.IN_DOUBT, _C.IN_DOUBT, 1),
    ],
)
def test_an_answer_concludes_an_attempt(
    *,
    ledger: Ledger,
    book: CorrectionBook,
    clock: FakeClock,
    answer: Answer,
    attempt_state: AttemptState,
    state: CorrectionState,
    failures: int,
) -> None:
    """Whatever comes back, attempt and correction say what it proves, with the answer itself beside."""
    attempt = sending(ledger, book, clock, item(1))

    book.conclude(attempt, answer, timedelta(milliseconds=1500), None)

    found = correction(ledger, item(1))
    with ledger.read() as connection:
        row = attempts_of(connection, attempt.correction)[0]
    assert (state, failures, answer.kind) == (found.state, found.failures, found.reason)
    assert (attempt_state, answer.kind, answer.http_status) == (row.state, row.answer, row.http_status)
    assert (answer.new_balance, answer.state_root) == (row.new_balance, row.state_root)
    assert row.duration_us == 1_500_000
    assert {item(1).account} == marked(ledger)


def test_a_receipt_is_mirrored(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """The balance that the indexer acknowledged is what the account holds from now on."""
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)

    with ledger.read() as connection:
        row = connection.execute(select(balances)).one()
    assert (row.account, row.wei, row.root) == (item(1).account, WEI_PER_UCRED, ACKNOWLEDGED.state_root)


def test_history_says_who_and_why(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """Each step of a correction and of its attempt is told, with the reason and the run."""
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, UNCLEAR, A_SECOND, None)
    clock.advance(timedelta(hours=1))
    book.settle(attempt, applied=True, signed=signed(clock.now(), "seen in the log"))

    with ledger.read() as connection:
        told = told_of(connection, f"correction:{attempt.correction}")
        of_attempt = told_of(connection, f"attempt:{attempt.name}")
    assert [entry.event for entry in told] == ["planned", "claimed", "sending", "in_doubt", "confirmed"]
    assert [entry.event for entry in of_attempt] == ["sending", "in_doubt", "applied"]
    assert [entry.actor for entry in told] == [*["pipeline"] * 4, "ada"]
    assert told[-1].detail["reason"] == "seen in the log"
    assert told[1].detail["run"] == "run"


def test_what_was_found_sending_is_in_doubt(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """After a crash what was being sent is in doubt, never planned; what was only claimed is planned."""
    attempt = sending(ledger, book, clock, item(1))
    claimed = book.claim(planned(ledger, book, item(2))[0].id)

    silent = book.sweep_silent()

    assert [attempt.correction] == silent
    assert correction(ledger, item(1)).state is _C.IN_DOUBT
    assert attempt_states(ledger, attempt.correction) == [_A.IN_DOUBT]
    assert correction(ledger, claimed.id).state is _C.PLANNED
    assert book.sweep_silent() == []


@pytest.mark.parametrize(
    "applied, attempt_state, state",
    [(True, _A.APPLIED, _C.CONFIRMED), (False, _A.RESOLVED_NOT_APPLIED, _C.PLANNED)],
)
@pytest.mark.parametrize("quarantined", [False, True])
def test_a_doubt_is_settled(
    *,
    ledger: Ledger,
    book: CorrectionBook,
    clock: FakeClock,
    applied: bool,
    quarantined: bool,
    attempt_state: AttemptState,
    state: CorrectionState,
) -> None:
    """Evidence or a person says whether it arrived, also when a person had been asked."""
    attempt = in_doubt(ledger, book, clock, item(1))
    if quarantined:
        book.quarantine(attempt, "evidence_does_not_settle_it")
        assert correction(ledger, item(1)).state is _C.QUARANTINED

    settled = book.settle(attempt, applied=applied, signed=signed(_LATER))

    assert settled
    assert correction(ledger, item(1)).state is state
    assert attempt_states(ledger, attempt.correction) == [attempt_state]


def test_a_doubt_is_settled_once(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A second verdict on the same doubt, by whoever was slower, changes nothing: not even the resend."""
    attempt = in_doubt(ledger, book, clock, item(1))
    book.settle(attempt, applied=False, signed=signed(_LATER))
    again = book.begin_sending(book.claim(attempt.correction), request_at(_LATER), AMPLE)

    assert not book.settle(attempt, applied=False, signed=signed(_LATER))
    assert not book.settle(attempt, applied=True, signed=signed(_LATER))
    book.quarantine(attempt, "evidence_does_not_settle_it")

    assert attempt_states(ledger, attempt.correction) == [_A.RESOLVED_NOT_APPLIED, _A.SENDING]
    book.conclude(again, ACKNOWLEDGED, A_SECOND, None)
    assert correction(ledger, item(1)).state is _C.CONFIRMED


def test_what_is_being_sent_is_no_doubt_yet(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """Nobody settles an attempt whose sender still waits for the answer."""
    attempt = sending(ledger, book, clock, item(1))

    assert not book.settle(attempt, applied=False, signed=signed(_LATER))
    assert correction(ledger, item(1)).state is _C.SENDING


@pytest.mark.parametrize("quarantined", [False, True])
@pytest.mark.parametrize(
    "answer, state, attempt_state",
    [
        (ACKNOWLEDGED, _C.CONFIRMED, _A.APPLIED),
        (NEVER_SENT, _C.PLANNED, _A.NOT_APPLIED),
        (TOKEN_REFUSED, _C.PLANNED, _A.NOT_APPLIED),
        (CREDIT_REFUSED, _C.PLANNED, _A.NOT_APPLIED),
        (UNCLEAR, None, _A.IN_DOUBT),
    ],
)
def test_a_late_answer_still_counts(
    *,
    ledger: Ledger,
    book: CorrectionBook,
    clock: FakeClock,
    answer: Answer,
    quarantined: bool,
    state: CorrectionState | None,
    attempt_state: AttemptState,
) -> None:
    """A sender that was thought dead may report its outcome late: evidence is taken from anybody."""
    attempt = sending(ledger, book, clock, item(1))
    book.sweep_silent()
    if quarantined:
        book.quarantine(attempt, "evidence_does_not_settle_it")
    before = correction(ledger, item(1)).state

    book.conclude(attempt, answer, A_SECOND, None)

    assert (state or before) is correction(ledger, item(1)).state
    assert attempt_states(ledger, attempt.correction) == [attempt_state]


@pytest.mark.parametrize("how", ["answer", "evidence"])
def test_an_acknowledgement_after_all_holds_everything(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock, how: str
) -> None:
    """What was held to have had no effect, and was acknowledged then, contradicts itself: nothing is sent."""
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, NEVER_SENT if how == "answer" else NO_ANSWER, A_SECOND, None)
    if how == "evidence":
        book.settle(attempt, applied=False, signed=signed(_LATER))

    book.conclude(attempt, ACKNOWLEDGED, A_SECOND, None)

    assert attempt_states(ledger, attempt.correction) == [_A.CONTRADICTION]
    with ledger.read() as connection:
        assert [found.kind for found in open_holds(connection)] == [HoldKind.CONTRADICTION]
    assert refused_claim(book, attempt.correction) == "held"


def test_a_proof_that_it_was_never_sent_after_all_holds_everything(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock
) -> None:
    """Its own sender knows best: what was settled as applied, and never left, is no credit."""
    attempt = in_doubt(ledger, book, clock, item(1))
    assert book.settle(attempt, applied=True, signed=signed(clock.now()))

    book.conclude(attempt, NEVER_SENT, A_SECOND, None)

    with ledger.read() as connection:
        assert [hold.kind for hold in open_holds(connection)] == [HoldKind.CONTRADICTION]


def test_an_outcome_of_an_unknown_attempt_holds_everything(
    ledger: Ledger, book: CorrectionBook, clock: FakeClock
) -> None:
    """A ledger that does not know what it sent has lost rows."""
    attempt = sending(ledger, book, clock, item(1))
    unknown = type(attempt)(**{name: getattr(attempt, name) for name in attempt.__slots__} | {"number": 2})

    book.conclude(unknown, ACKNOWLEDGED, A_SECOND, None)

    with ledger.read() as connection:
        holds = open_holds(connection)
    assert [found.kind for found in holds] == [HoldKind.CONTRADICTION]
    assert unknown.name in holds[0].detail
    assert correction(ledger, item(1)).state is _C.SENDING


def test_the_same_answer_twice_is_one(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """An outcome that is reported again changes nothing."""
    attempt = sending(ledger, book, clock, item(1))
    for _ in range(2):
        book.conclude(attempt, ACKNOWLEDGED, A_SECOND, None)

    assert correction(ledger, item(1)).state is _C.CONFIRMED
    assert attempt_states(ledger, attempt.correction) == [_A.APPLIED]


def test_only_what_is_planned_is_withdrawn(ledger: Ledger, book: CorrectionBook, clock: FakeClock) -> None:
    """A correction that is on its way is not taken for withdrawn."""
    attempt = in_doubt(ledger, book, clock, item(1))

    book.withdraw(attempt.correction, _C.SUPERSEDED, "credited_by_another")

    assert correction(ledger, item(1)).state is _C.IN_DOUBT


def test_a_purchase_that_is_gone_is_not_claimed(ledger: Ledger, book: CorrectionBook) -> None:
    """A correction without a purchase any more is left where it is."""
    found = book.accept(add_plan(ledger, [item(1)]), [item(1)])[0]

    assert refused_claim(book, found.id) == "no_longer_lacking"
    with ledger.write() as connection:
        add_purchase(connection, item(1))
    assert book.claim(found.id).state is _C.CLAIMED
