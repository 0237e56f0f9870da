"""Holds, epochs and the breaker decide whether anything may be sent."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from ucred_pipeline.domain.answers import Answer, Effect
from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.ledger.anchors import Anchor, anchors
from ucred_pipeline.ledger.correction_rows import live_attempt
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.history import told_of
from ucred_pipeline.ledger.safety import (
    Breaker,
    HoldKind,
    current_epoch,
    forget_refused_token,
    note_answer,
    open_breaker,
    open_epoch,
    open_holds,
    raise_hold,
    read_breaker,
    release_holds,
)
from ucred_pipeline.ledger.schema import balances, dirty_groups, holds
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    CREDIT_REFUSED,
    QUIESCENCE,
    add_balance,
    add_plan,
    attempt_states,
    book_of,
    correction,
    in_doubt,
    item,
    planned,
    sending,
    signed,
)

_C, _A = CorrectionState, AttemptState


def test_a_hold_lasts_until_it_is_released(ledger: Ledger) -> None:
    """A hold of each kind is raised once, says why, and ends with who released it and why."""
    with ledger.write() as connection:
        assert raise_hold(connection, HoldKind.PERSON, signed(NOON, "wait"))
        assert not raise_hold(connection, HoldKind.PERSON, signed(NOON, "wait again"))
        assert raise_hold(connection, HoldKind.LEDGER_LOST, signed(NOON, "rows are lost"))
    with ledger.write() as connection:
        assert [found.detail for found in open_holds(connection)] == ["wait", "rows are lost"]
        released = release_holds(connection, signed(NOON + A_SECOND, "done", "bob"))
        assert [found.kind for found in released] == [HoldKind.PERSON, HoldKind.LEDGER_LOST]
        assert open_holds(connection) == []
        rows = connection.execute(select(holds)).all()
        assert [(row.released_by, row.release_reason) for row in rows] == [("bob", "done")] * 2
        assert [entry.event for entry in told_of(connection, "hold:person")] == ["raised", "released"]
        assert raise_hold(connection, HoldKind.PERSON, signed(NOON, "once more"))


def test_what_was_released_is_not_released_again(ledger: Ledger) -> None:
    """A later release leaves an earlier one as it was."""
    with ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, signed(NOON))
        release_holds(connection, signed(NOON, "first", "ada"))
        assert release_holds(connection, signed(NOON, "second", "bob")) == []
        assert connection.execute(select(holds.c.released_by)).scalar_one() == "ada"


def test_a_new_epoch_forgets_the_old_state(ledger: Ledger, clock: FakeClock) -> None:
    """Open attempts are moot, open corrections closed, balances forgotten, and everything judged anew."""
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    book.conclude(sending(ledger, book, clock, item(2)), CREDIT_REFUSED, A_SECOND, None)
    doubts = [in_doubt(ledger, book, clock, item(number)) for number in (3, 4)]
    book.quarantine(doubts[1], "evidence_does_not_settle_it")
    planned(ledger, book, item(5))
    book.claim(planned(ledger, book, item(6))[0].id)
    book.withdraw(planned(ledger, book, item(7))[0].id, _C.CANCELLED, "now_withdrawn")
    clock.advance(QUIESCENCE + timedelta(seconds=21))

    with ledger.write() as connection:
        assert open_epoch(connection, signed(clock.now(), "the state is lost")) == 2

    states = {number: correction(ledger, item(number)).state for number in range(1, 8)}
    assert states == dict.fromkeys(range(1, 8), _C.EPOCH_CLOSED) | {1: _C.CONFIRMED}
    assert [attempt_states(ledger, doubt.correction) for doubt in doubts] == [[_A.MOOT], [_A.MOOT]]
    with ledger.read() as connection:
        assert current_epoch(connection) == 2
        assert connection.execute(select(balances)).all() == []
        judged_anew = set(connection.execute(select(dirty_groups.c.judged_with)).scalars())
        assert {item(number).account for number in range(1, 8)} == judged_anew
        assert anchors(connection) == []
        assert [entry.event for entry in told_of(connection, f"correction:{doubts[0].correction}")][-1] == (
            "epoch_closed"
        )


@pytest.mark.parametrize("swept", [False, True])
def test_no_new_epoch_while_a_request_may_act(ledger: Ledger, clock: FakeClock, *, swept: bool) -> None:
    """Before the quiescence of every open request is over a new epoch is refused, and nothing is changed."""
    book = book_of(ledger, clock)
    attempt = sending(ledger, book, clock, item(1))
    if swept:
        book.sweep_silent()
    before = attempt_states(ledger, attempt.correction)

    for early in (NOON, attempt.deadline, attempt.settles_after - A_SECOND):
        with pytest.raises(TooEarly, match="may still take effect"), ledger.write() as connection:
            open_epoch(connection, signed(early))
    assert before == attempt_states(ledger, attempt.correction)

    with ledger.write() as connection:
        assert open_epoch(connection, signed(attempt.settles_after + A_SECOND)) == 2
    assert attempt_states(ledger, attempt.correction) == [_A.MOOT]


def test_a_purchase_of_the_old_epoch_may_be_credited_in_the_new(ledger: Ledger, clock: FakeClock) -> None:
    """What was confirmed in a state that is lost is owed again: under another name, so that both are kept."""
    book = book_of(ledger, clock)
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, ACKNOWLEDGED, A_SECOND, None)
    with ledger.write() as connection:
        open_epoch(connection, signed(NOON))

    again = book.accept(add_plan(ledger, [item(1, epoch=2)]), [item(1, epoch=2)])[0]

    assert again.id != attempt.correction
    with ledger.read() as connection:
        assert live_attempt(connection, again.id) is None


@pytest.mark.parametrize("answer", [ACKNOWLEDGED])
def test_a_late_answer_does_not_open_an_epoch_again(ledger: Ledger, clock: FakeClock, answer: Answer) -> None:
    """What became moot stays so, and the forgotten balance is not mirrored again."""
    book = book_of(ledger, clock)
    attempt = in_doubt(ledger, book, clock, item(1))
    with ledger.write() as connection:
        open_epoch(connection, signed(attempt.settles_after + A_SECOND))

    book.conclude(attempt, answer, A_SECOND, None)

    assert attempt_states(ledger, attempt.correction) == [_A.MOOT]
    assert correction(ledger, item(1)).state is _C.EPOCH_CLOSED
    with ledger.read() as connection:
        assert connection.execute(select(balances)).all() == []


def test_the_breaker_counts_doubts_in_a_row(ledger: Ledger) -> None:
    """A clear answer begins the count anew."""
    with ledger.write() as connection:
        answers = [Effect.IN_DOUBT, Effect.IN_DOUBT, Effect.NOT_APPLIED, Effect.APPLIED, Effect.IN_DOUBT]
        assert [note_answer(connection, effect) for effect in answers] == [1, 2, 2, 0, 1]


def test_three_openings_in_a_row_ask_for_a_person(ledger: Ledger) -> None:
    """The first two openings only slow the next run down; the third is a hold."""
    with ledger.write() as connection:
        for opening in (1, 2):
            open_breaker(connection, 3, signed(NOON, "no answer"), token_refused=False)
            assert Breaker(0, opening, one_at_a_time=True, token_refused=False) == read_breaker(connection)
            assert open_holds(connection) == []
        open_breaker(connection, 3, signed(NOON, "no answer"), token_refused=False)
        assert [found.kind for found in open_holds(connection)] == [HoldKind.BREAKER]

        release_holds(connection, signed(NOON))
        assert Breaker(0, 0, one_at_a_time=True, token_refused=False) == read_breaker(connection)


def test_a_clear_answer_closes_the_breaker(ledger: Ledger) -> None:
    """After an acknowledgement openings are counted anew, and the next run goes in parallel."""
    with ledger.write() as connection:
        open_breaker(connection, 3, signed(NOON), token_refused=False)
        open_breaker(connection, 3, signed(NOON), token_refused=False)
        note_answer(connection, Effect.APPLIED)
        assert Breaker(0, 0, one_at_a_time=False, token_refused=False) == read_breaker(connection)
        open_breaker(connection, 3, signed(NOON), token_refused=False)
        assert open_holds(connection) == []


def test_a_refused_token_asks_for_no_person(ledger: Ledger) -> None:
    """However often the token was refused, a good one is enough to go on."""
    with ledger.write() as connection:
        for _ in range(5):
            open_breaker(connection, 3, signed(NOON), token_refused=True)
        assert read_breaker(connection).token_refused
        forget_refused_token(connection)
        assert not read_breaker(connection).token_refused
        assert open_holds(connection) == []


def test_anchors_are_the_newest_receipts(ledger: Ledger, clock: FakeClock) -> None:
    """The accounts of the five newest confirmed corrections must hold what their receipts say."""
    book = book_of(ledger, clock)
    for number in range(7):
        attempt = sending(ledger, book, clock, item(number))
        receipt = Answer(ACKNOWLEDGED.effect, ACKNOWLEDGED.kind, 200, 10**18 + number, "cd" * 32)
        book.conclude(attempt, receipt, A_SECOND, None)
        clock.advance(A_SECOND)

    with ledger.read() as connection:
        assert anchors(connection) == [
            Anchor(item(number).account, 10**18 + number) for number in (6, 5, 4, 3, 2)
        ]


def test_before_a_receipt_balances_are_anchors(ledger: Ledger) -> None:
    """What was seen in earlier runs serves as well; an account with nothing shows nothing."""
    with ledger.write() as connection:
        assert anchors(connection) == []
        for number in range(7):
            add_balance(connection, f"a{number}", number, NOON + number * A_SECOND)
        assert [found.wei for found in anchors(connection)] == [6, 5, 4, 3, 2]
        for number in range(150):
            add_balance(connection, f"empty{number}", 0, NOON + (10 + number) * A_SECOND)
        assert [found.wei for found in anchors(connection)] == [6, 5, 4, 3, 2]
