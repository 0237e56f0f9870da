"""Anchors: what the indexer acknowledged, by which a restart is noticed."""

from ucred_pipeline.ledger.anchors import Anchor, anchors, forgotten, witnesses
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.ledger.stories import add_balance, book_of, in_doubt, item, signed

A_UCRED = 10**18


def test_a_credit_that_was_settled_later_is_an_anchor(ledger: Ledger, clock: FakeClock) -> None:
    """Settled without a receipt, an account holds at least what it held and the credit."""
    book = book_of(ledger, clock)
    attempt = in_doubt(ledger, book, clock, item(1), balance_before=7)
    book.settle(attempt, applied=True, signed=signed(clock.now()))

    with ledger.read() as connection:
        assert anchors(connection) == [Anchor(attempt.account, A_UCRED + 7)]


def test_balances_seen_stand_beside_few_receipts(ledger: Ledger, clock: FakeClock) -> None:
    """Where receipts name few accounts, what other accounts were seen to hold serves as well."""
    book = book_of(ledger, clock)
    attempt = in_doubt(ledger, book, clock, item(1))
    book.settle(attempt, applied=True, signed=signed(clock.now()))
    with ledger.write() as connection:
        add_balance(connection, attempt.account, 1)
        add_balance(connection, "acct:user:rich@example.com", 5)
        add_balance(connection, "acct:user:poor@example.com", 0)

    with ledger.read() as connection:
        found = anchors(connection)

    assert found == [Anchor(attempt.account, A_UCRED), Anchor("acct:user:rich@example.com", 5)]


def test_one_that_fell_is_enough_or_half_where_customers_spend() -> None:
    """Without debits one account that holds less shows that the indexer forgot; with them half must."""
    known = [Anchor(name, 10) for name in "abcd"]
    held = {"a": 9, "b": 10, "c": 11, "d": 10}

    assert forgotten(known, held, debits_possible=False) == [known[0]]
    assert forgotten(known, held, debits_possible=True) == []
    assert forgotten(known, held | {"b": 0}, debits_possible=True) == known[:2]
    assert forgotten([], {}, debits_possible=True) == []


def test_the_witnesses_of_open_doubts_are_known(ledger: Ledger, clock: FakeClock) -> None:
    """The account that bears witness for a doubt is read until the doubt is settled."""
    book = book_of(ledger, clock)
    attempt = in_doubt(ledger, book, clock, item(1), witness="acct:user:w@example.com", witness_wei=3)

    with ledger.read() as connection:
        assert witnesses(connection) == ["acct:user:w@example.com"]
    book.settle(attempt, applied=False, signed=signed(clock.now()))
    with ledger.read() as connection:
        assert witnesses(connection) == []
