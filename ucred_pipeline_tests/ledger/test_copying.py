"""Copies of a ledger: whole, guarded, held, and from either database into either."""

import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.ledger.copying import CannotCopy, back_up, restore
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.safety import HoldKind, open_holds, raise_hold
from ucred_pipeline.ledger.schema import corrections, decisions, metadata
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    add_balance,
    book_of,
    in_doubt,
    item,
    sending,
    signed,
)

_CHANGED_BY_A_COPY = {"history", "holds"}


def fill(ledger: Ledger, clock: FakeClock) -> None:
    """Let a ledger have a credit, a doubt, a balance beyond 64 bits and a decision."""
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)
    in_doubt(ledger, book, clock, item(2))
    with ledger.write() as connection:
        add_balance(connection, "acct:user:rich@example.com", 2**127)
        decide(connection, "pi_1")


def decide(connection: Any, payment_intent: str) -> None:
    """Let a person decide something."""
    told = {"epoch": 1, "decision": "credited", "at": NOON, "actor": "ada", "reason": "looked"}
    connection.execute(insert(decisions).values(payment_intent=payment_intent, **told))


def rows_of(ledger: Ledger) -> dict[str, list[Any]]:
    """Every row of a ledger, but those that a copy adds."""
    with ledger.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
            if table.name not in _CHANGED_BY_A_COPY
        }


def quiet(_: int) -> None:
    """Be told of progress."""


def test_a_copy_is_whole_and_held(ledger: Ledger, clock: FakeClock, tmp_path: Path) -> None:
    """From either database a copy has every row, a history that verifies, and a hold of its own."""
    fill(ledger, clock)
    told: list[int] = []
    file = tmp_path / "a copy.db"

    copied = back_up(ledger, file, signed(NOON), told.append)

    with Ledger.open(f"sqlite:///{file.as_posix()}") as copy:
        assert rows_of(copy) == rows_of(ledger)
        with copy.read() as connection:
            assert verify(connection).broken is None
            assert [hold.kind for hold in open_holds(connection)] == [HoldKind.RESTORED]
    with ledger.read() as connection:
        assert open_holds(connection) == []
    assert (told[-1], [path.name for path in tmp_path.glob("a copy*")]) == (copied.rows, [file.name])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_copy_is_for_its_owner_alone(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """Customers' addresses are in it, so nobody else may read the file."""
    back_up(sqlite_ledger, tmp_path / "copy.db", signed(NOON), quiet)

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_a_copy_is_put_back_into_either_database(
    sqlite_ledger: Ledger, ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    """Restored into a new ledger everything is there, its guards stand, and new rows are numbered on."""
    source = (
        sqlite_ledger if ledger.dialect == "postgresql" else Ledger.open(f"sqlite:///{tmp_path / 'a.db'}")
    )
    fill(source, clock)
    back_up(source, tmp_path / "copy.db", signed(NOON), quiet)
    before = (tmp_path / "copy.db").read_bytes()

    restore(tmp_path / "copy.db", ledger, signed(NOON + A_SECOND, "the disk died"), quiet)

    assert rows_of(ledger) == rows_of(source)
    assert (tmp_path / "copy.db").read_bytes() == before
    with ledger.read() as connection:
        assert [(hold.kind, hold.raised) for hold in open_holds(connection)] == [
            (HoldKind.RESTORED, NOON + A_SECOND)
        ]
        assert verify(connection).broken is None
    with ledger.write() as connection:
        decide(connection, "pi_2")
        raise_hold(connection, HoldKind.PERSON, signed(NOON))
    with pytest.raises(IntegrityError), ledger.write() as connection:
        connection.execute(update(corrections).values(state=CorrectionState.PLANNED))
    source.close()


def test_a_ledger_in_use_is_not_overwritten(sqlite_ledger: Ledger, clock: FakeClock, tmp_path: Path) -> None:
    """Two memories cannot be made one: nothing is restored into a ledger that has rows."""
    fill(sqlite_ledger, clock)
    back_up(sqlite_ledger, tmp_path / "copy.db", signed(NOON), quiet)
    before = rows_of(sqlite_ledger)

    with pytest.raises(CannotCopy, match="in use"):
        restore(tmp_path / "copy.db", sqlite_ledger, signed(NOON), quiet)

    assert rows_of(sqlite_ledger) == before


def test_nothing_is_restored_of_a_history_that_does_not_verify(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    """The ledger stays a new one, into which a whole back-up can still be put."""
    source, file = Ledger.open(f"sqlite:///{(tmp_path / 'a.db').as_posix()}"), tmp_path / "copy.db"
    fill(source, clock)
    back_up(source, file, signed(NOON), quiet)
    shutil.copy(file, tmp_path / "forged.db")
    with closing(sqlite3.connect(tmp_path / "forged.db")) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE history SET actor = 'mallory' WHERE sequence = 2")

    with pytest.raises(CannotCopy, match="does not verify"):
        restore(tmp_path / "forged.db", ledger, signed(NOON), quiet)
    restore(file, ledger, signed(NOON), quiet)

    assert rows_of(ledger) == rows_of(source)
    source.close()


def test_a_ledger_that_is_open_is_restored_whole(
    sqlite_ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    """Named in place of a back-up, what its write-ahead log has is not lost."""
    with Ledger.open(f"sqlite:///{(tmp_path / 'open.db').as_posix()}") as source:
        fill(source, clock)

        restore(tmp_path / "open.db", sqlite_ledger, signed(NOON), quiet)

        assert rows_of(sqlite_ledger) == rows_of(source)


def test_no_file_is_overwritten_and_no_other_file_restored(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """A back-up that is there stays; what is no ledger, or is not there, is named as such."""
    there = tmp_path / "there.db"
    there.write_text("something else")
    nowhere = tmp_path / "no folder" / "copy.db"

    for file in (there, nowhere):
        with pytest.raises(CannotCopy, match="there"):
            back_up(sqlite_ledger, file, signed(NOON), quiet)
    for file in (there, tmp_path / "missing.db"):
        with pytest.raises(CannotCopy, match="not a copy"):
            restore(file, sqlite_ledger, signed(NOON), quiet)

    assert there.read_text() == "something else"


def test_a_place_that_cannot_be_written_is_named(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """Such as a name that is too long with what an unfinished copy is called: nothing is left behind."""
    with pytest.raises(CannotCopy, match="cannot be written"):
        back_up(sqlite_ledger, tmp_path / ("x" * 250 + ".db"), signed(NOON), quiet)

    assert not list(tmp_path.glob("x*"))
