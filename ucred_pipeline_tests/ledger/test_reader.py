"""Whoever only looks never writes, never waits for long, and is told what is wrong."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.ledger.reads import leave_note, note
from ucred_pipeline.ledger.safety import current_epoch
from ucred_pipeline_tests.postgresql import PostgreSQL


@contextmanager
def reading(url: str) -> Iterator[LedgerReader]:
    """Open a reader."""
    with closing(LedgerReader(url)) as reader:
        yield reader


def refusal(url: str) -> str:
    """Look at a ledger that cannot be read; give what is said."""
    with reading(url) as reader, pytest.raises(LedgerUnusable) as caught, reader.read():
        pass
    return str(caught.value)


def test_reads_what_is_committed(ledger_url: str) -> None:
    """A look sees what was written before it, and nothing of what is written meanwhile."""
    with Ledger.open(ledger_url) as ledger, reading(ledger_url) as reader:
        with ledger.write() as connection:
            leave_note(connection, "seen", 1)
        with reader.read() as looking:
            before = note(looking, "seen")
            with ledger.write() as connection:
                leave_note(connection, "seen", 2)
            during = note(looking, "seen")
        with reader.read() as looking:
            after = note(looking, "seen")

    assert (before, during, after) == (1, 1, 2)


def test_a_server_that_hangs_is_not_waited_for(postgresql: PostgreSQL, postgresql_url: str) -> None:
    """Where PostgreSQL stops to answer, who looks is told within seconds, also who looked before."""
    server = psutil.Process(int((postgresql.folder / "data" / "postmaster.pid").read_text().split()[0]))
    with reading(postgresql_url) as reader:
        with reader.read() as connection:
            assert current_epoch(connection) == 1
        server.suspend()
        began = time.monotonic()
        try:
            with pytest.raises(LedgerUnusable, match="cannot be read"), reader.read():
                pass
        finally:
            server.resume()

    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "statement", ["DELETE FROM breaker", "CREATE TABLE t (a INT)", "UPDATE breaker SET doubts_in_a_row = 9"]
)
def test_writes_nothing(ledger_url: str, statement: str) -> None:
    """The database itself refuses to be changed by whoever only looks."""
    Ledger.open(ledger_url).close()
    with reading(ledger_url) as reader, pytest.raises(LedgerUnusable), reader.read() as connection:
        connection.execute(text(statement))

    with reading(ledger_url) as reader, reader.read() as connection:
        assert connection.execute(text("SELECT doubts_in_a_row FROM breaker")).scalar() == 0


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A missing file is said to be missing, and stays so; once it is there it is read."""
    file = tmp_path / "größe & 100%" / "ledger.db"
    file.parent.mkdir()
    url = URL.create("sqlite", database=file.as_posix()).render_as_string()
    told = refusal(url)
    was_made = file.exists()

    with reading(url) as reader:
        Ledger.open(url).close()
        with reader.read() as connection:
            assert (current_epoch(connection), was_made) == (1, False)
    assert "There is no ledger yet" in told


@pytest.mark.parametrize("version, told", [("0001", "older version"), ("9999", "newer version")])
def test_another_version_is_left_as_it_is(ledger_url: str, version: str, told: str) -> None:
    """A ledger of another version is not migrated by a look, and the way out is told."""
    Ledger.open(ledger_url).close()
    engine = create_engine(ledger_url)

    def number(name: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": name})

    with engine.connect() as connection:
        right = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    number(version)
    try:
        assert told in refusal(ledger_url)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        assert found == version
    finally:
        number(right)
        engine.dispose()


def test_another_database_is_no_ledger(tmp_path: Path) -> None:
    """A database of another program, and a file that is none, are told apart from a ledger."""
    other, notes = tmp_path / "other.db", tmp_path / "notes.txt"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a INT)")
    notes.write_text("these are notes " * 500, encoding="utf-8")

    assert "no ledger" in refusal(f"sqlite:///{other.as_posix()}")
    assert "not a database" in refusal(f"sqlite:///{notes.as_posix()}")


def test_a_locked_ledger_is_not_waited_for(sqlite_url: str) -> None:
    """A ledger that another process has for itself alone is said to be locked, within seconds."""
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode=DELETE")
        owner.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        told = refusal(sqlite_url)
        waited = time.monotonic() - began

    assert "locked" in told
    assert waited < 10


def test_a_server_that_is_gone_and_comes_back(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while reading is told as one of the ledger, and the next look works again."""
    Ledger.open(ledger_url).close()

    def fail(*_: Any, **__: Any) -> Any:
        raise DBAPIError("SELECT", {}, Exception("the connection was closed\nROW: secret"))

    def look(reader: LedgerReader, *, broken: bool) -> object:
        with monkeypatch.context() as patched, reader.read() as connection:
            if broken:
                patched.setattr(connection, "execute", fail)
            return note(connection, "any")

    with reading(ledger_url) as reader:
        with pytest.raises(LedgerUnusable) as caught:
            look(reader, broken=True)
        assert look(reader, broken=False) is None

    assert "the connection was closed" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    """Where the ledger is can be shown to anybody."""
    with reading("postgresql+psycopg://ucred:hunter2@db.example/ledger?password=hunter2") as reader:
        assert "hunter2" not in reader.place
        assert "db.example" in reader.place
