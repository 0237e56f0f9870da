"""The retry queue: what waits, since when, and what does not."""

from datetime import datetime, timedelta

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.retries import Waiting, due_purchases, due_retries, settleable_doubts
from ucred_pipeline.ledger.safety import open_epoch
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    NEVER_SENT,
    QUIESCENCE,
    book_of,
    in_doubt,
    item,
    planned,
    sending,
    signed,
)

A_MINUTE = timedelta(minutes=1)


def due(ledger: Ledger, now: datetime) -> list[Waiting]:
    """What may be sent again."""
    with ledger.read() as connection:
        return due_retries(connection, now)


def doubts(ledger: Ledger, now: datetime) -> list[Waiting]:
    """What may be settled."""
    with ledger.read() as connection:
        return settleable_doubts(connection, now)


def test_a_failure_is_due_when_its_wait_is_over(ledger: Ledger, clock: FakeClock) -> None:
    """It counts from that moment on, under the number of the attempt that failed; what is new is no retry."""
    book = book_of(ledger, clock)
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, NEVER_SENT, A_SECOND, clock.now() + A_MINUTE)
    planned(ledger, book, item(2))

    assert due(ledger, clock.now()) == []
    assert due(ledger, clock.now() + A_MINUTE) == [Waiting(attempt.correction, 1, clock.now() + A_MINUTE)]
    with ledger.read() as connection:
        assert due_purchases(connection, clock.now()) == frozenset()
        assert due_purchases(connection, clock.now() + A_MINUTE) == {item(1).payment_intent}


def test_a_doubt_waits_for_the_quiescence(ledger: Ledger, clock: FakeClock) -> None:
    """It can be settled once its absence counts; when it is settled as not applied it is due at once."""
    book = book_of(ledger, clock)
    doubt = in_doubt(ledger, book, clock, item(1))

    assert doubts(ledger, clock.now() + QUIESCENCE - A_MINUTE) == []
    later = doubt.settles_after
    assert doubts(ledger, later) == [Waiting(doubt.correction, 1, later)]

    book.settle(doubt, applied=False, signed=signed(later))
    assert doubts(ledger, later) == []
    assert due(ledger, later) == [Waiting(doubt.correction, 1, clock.now())]


def test_what_a_dead_sender_left_is_a_doubt(ledger: Ledger, clock: FakeClock) -> None:
    """An attempt that is found being sent long after its deadline is asked about like any doubt."""
    book = book_of(ledger, clock)
    attempt = sending(ledger, book, clock, item(1))

    assert [found.name for found in doubts(ledger, attempt.settles_after)] == [attempt.name]


def test_nothing_of_an_epoch_that_is_over_is_due(ledger: Ledger, clock: FakeClock) -> None:
    """An epoch closes what waited in it."""
    book = book_of(ledger, clock)
    attempt = sending(ledger, book, clock, item(1))
    book.conclude(attempt, NEVER_SENT, A_SECOND, clock.now())
    assert due(ledger, clock.now())

    with ledger.write() as connection:
        open_epoch(connection, signed(clock.now()))

    assert due(ledger, clock.now()) == []
