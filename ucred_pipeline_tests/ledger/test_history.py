"""The history is a chain: each entry covers what it tells and the entry before it."""

import json
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Row, select, text

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import BEGINNING, Entry, length, record, told_of
from ucred_pipeline.ledger.schema import history
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import A_SECOND, ACKNOWLEDGED, book_of, item, sending


def entries(ledger: Ledger) -> list[Row[Any]]:
    """Read the whole history."""
    with ledger.read() as connection:
        return list(connection.execute(select(history).order_by(history.c.sequence)))


def hash_of(row: Row[Any]) -> str:
    """Hash an entry as the documents say, without the program's own code."""
    told = [row.sequence, to_micros(row.at), row.actor, row.subject, row.event, row.detail, row.previous]
    return sha256(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def test_each_entry_covers_the_one_before(ledger: Ledger, clock: FakeClock) -> None:
    """From the beginning on, numbers have no gap, and each hash follows from the entry and the one before."""
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)

    rows = entries(ledger)

    assert len(rows) > 4
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert [BEGINNING, *(row.hash for row in rows[:-1])] == [row.previous for row in rows]
    assert [row.hash for row in rows] == [hash_of(row) for row in rows]


@pytest.mark.parametrize("field", ["actor", "subject", "event", "detail", "at", "previous", "sequence"])
def test_a_forged_entry_does_not_fit(ledger: Ledger, clock: FakeClock, field: str) -> None:
    """Whichever part of an entry were another, its hash would be another."""
    sending(ledger, book_of(ledger, clock), clock, item(1))
    row = entries(ledger)[1]
    forged = NOON + A_SECOND if field == "at" else 7 if field == "sequence" else "forged"

    assert row.hash != hash_of(_Forged(row, field, forged))  # type: ignore[arg-type]


class _Forged:
    """An entry of which one field is another."""

    def __init__(self, row: Row[Any], field: str, value: object) -> None:
        self._row, self._changed = row, {field: value}

    def __getattr__(self, name: str) -> object:
        return self._changed.get(name, getattr(self._row, name))


def test_what_was_told_comes_back(ledger: Ledger) -> None:
    """Entries about a subject come in their order, with their detail, whatever its letters."""
    told = [
        Entry(NOON, "ada", subject, "seen", {"reason": "ümläut", "n": n}) for n, subject in enumerate("aba")
    ]
    with ledger.write() as connection:
        for entry in told:
            record(connection, entry)

        assert [told[0], told[2]] == told_of(connection, "a")
        assert told == told_of(connection, "a", "b")
        assert length(connection) == 3


def test_two_entries_cannot_follow_the_same(ledger: Ledger) -> None:
    """The chain has no fork: a number is given once."""
    with ledger.write() as connection:
        record(connection, Entry(NOON, "ada", "a", "seen", {}))
        savepoint = connection.begin_nested()
        with pytest.raises(Exception, match=r"(?i)unique"):
            connection.execute(text("INSERT INTO history SELECT * FROM history"))
        savepoint.rollback()
