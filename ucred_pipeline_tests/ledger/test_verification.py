"""The history cannot be changed unseen: whatever was tampered with, verifying says where it breaks first."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import BEGINNING, Entry, hash_of, record
from ucred_pipeline.ledger.safety import HoldKind, open_epoch, raise_hold, release_holds
from ucred_pipeline.ledger.schema import history
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    QUIESCENCE,
    book_of,
    in_doubt,
    item,
    sending,
    signed,
)

Forge = Callable[[Connection], Any]


@pytest.fixture
def told(ledger: Ledger, clock: FakeClock) -> Ledger:
    """A ledger in which something has happened: a credit, a doubt, a hold, a new epoch."""
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    in_doubt(ledger, book, clock, item(2))
    clock.advance(QUIESCENCE * 2)
    with ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, signed(clock.now()))
        open_epoch(connection, signed(clock.now()))
        release_holds(connection, signed(clock.now()))
        raise_hold(connection, HoldKind.INDEXER_FORGOT, signed(clock.now()))
    return ledger


@contextmanager
def unguarded(ledger: Ledger) -> Iterator[Connection]:
    """Write as somebody who has taken the guards off."""
    with ledger.write() as connection:
        if ledger.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        else:
            names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for name in connection.execute(text(names)).scalars().all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection


def broken(ledger: Ledger, expected: str | None = None) -> tuple[int | None, str] | None:
    """Verify: where it breaks and how, or None."""
    with ledger.read() as connection:
        found = verify(connection, expected).broken
    return (found.sequence, found.says) if found else None


def head(ledger: Ledger) -> str:
    """The newest hash."""
    with ledger.read() as connection:
        return verify(connection).head


def test_a_history_that_nobody_touched_is_whole(told: Ledger) -> None:
    """After every kind of change by the program itself, chain and tables agree."""
    assert broken(told) is None
    assert broken(told, head(told)) is None


@pytest.mark.parametrize(
    "statement, place",
    [
        ("UPDATE history SET detail = '{}' WHERE sequence = 4", 4),
        ("UPDATE history SET actor = 'nobody' WHERE sequence = 2", 2),
        ("UPDATE history SET at = at + 1 WHERE sequence = 3", 3),
        ("UPDATE history SET event = 'confirmed' WHERE sequence = 5", 5),
        ("DELETE FROM history WHERE sequence = 6", 6),
        ("DELETE FROM history WHERE sequence = 1", 1),
        ("UPDATE history SET previous = hash WHERE sequence = 7", 7),
    ],
)
def test_an_entry_that_was_changed_or_removed(told: Ledger, statement: str, place: int) -> None:
    """The first entry that does not fit is named."""
    with unguarded(told) as connection:
        connection.exec_driver_sql(statement)

    found = broken(told)
    assert found is not None
    assert found[0] == place


def test_an_end_that_was_cut_off(told: Ledger) -> None:
    """A chain without its newest entries is a chain, but the tables know more than it tells."""
    with unguarded(told) as connection:
        connection.exec_driver_sql("DELETE FROM history WHERE sequence > 6")

    found = broken(told)
    assert found is not None
    assert found[0] is None
    assert "the history last told of" in found[1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE corrections SET state = 'planned' WHERE state = 'confirmed'",
        "UPDATE attempts SET state = 'not_applied' WHERE state = 'applied'",
        "UPDATE holds SET released = 1 WHERE released IS NULL",
        "DELETE FROM attempts",
    ],
)
def test_a_table_that_was_changed_behind_its_back(told: Ledger, statement: str) -> None:
    """What the tables say of corrections, attempts and holds must be what the history told."""
    with unguarded(told) as connection:
        connection.exec_driver_sql(statement)

    assert broken(told) is not None


def test_a_chain_that_was_written_anew(told: Ledger) -> None:
    """Forged with all its hashes it is whole in itself; a hash that was kept elsewhere gives it away."""
    kept = head(told)
    with unguarded(told) as connection:
        rows = list(connection.execute(select(history).order_by(history.c.sequence)))
        connection.execute(history.delete())
        previous = BEGINNING
        for row in rows:
            actor = "somebody else" if row.sequence == 3 else row.actor
            hashed = hash_of(row.sequence, row.at, actor, row.subject, row.event, row.detail, previous)
            forged = {**row._mapping, "actor": actor, "previous": previous, "hash": hashed}
            connection.execute(history.insert().values(forged))
            previous = hashed

    assert broken(told) is None
    found = broken(told, kept)
    assert found is not None
    assert "written anew" in found[1]


_FIELDS = {
    "at": st.integers(0, 2**50),
    "actor": st.text(max_size=5),
    "subject": st.text(max_size=5),
    "event": st.text(max_size=5),
    "detail": st.text(max_size=5),
    "previous": st.text("0123456789abcdef", min_size=64, max_size=64),
    "hash": st.text("0123456789abcdef", min_size=64, max_size=64),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_any_field_is_found_where_it_is(sqlite_ledger: Ledger, data: st.DataObject) -> None:
    """Whichever field of whichever entry is another, the chain breaks there, or at the next for a hash."""
    with unguarded(sqlite_ledger) as connection:
        connection.execute(history.delete())
        for number in range(6):
            record(connection, Entry(NOON, "ada", f"subject {number}", "event", {"n": number}))
        rows = {row.sequence: row for row in connection.execute(select(history))}
        place = data.draw(st.integers(1, 6))
        field = data.draw(st.sampled_from(sorted(_FIELDS)))
        value = data.draw(_FIELDS[field])
        before = to_micros(rows[place].at) if field == "at" else getattr(rows[place], field)
        connection.execute(
            text(f"UPDATE history SET {field} = :value WHERE sequence = :place"),
            {"value": value, "place": place},
        )

    found = broken(sqlite_ledger)
    if value == before:
        assert found is None
    else:
        assert found is not None
        assert found[0] == place
