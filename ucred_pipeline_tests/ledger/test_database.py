"""The ledger opens where it is told to, whole, once, and says clearly when it cannot."""

import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from time import sleep

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, insert, inspect, make_url, select, text

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.reads import leave_note, note
from ucred_pipeline.ledger.safety import current_epoch
from ucred_pipeline.ledger.schema import metadata, mint_lines, notes
from ucred_pipeline_tests.conftest import NOON, missing


def file_url(file: Path) -> str:
    """Name a file as SQLAlchemy does."""
    return URL.create("sqlite", database=file.as_posix()).render_as_string()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database in which there is nothing yet, on each in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgresql_url"))
    return file_url(tmp_path / "new.db")


def test_the_migration_makes_the_tables_of_the_schema(empty_url: str) -> None:
    """Between what the migrations make and what the program expects there is no difference."""
    with Ledger.open(empty_url) as ledger, ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, metadata) == []


def test_partial_indexes_are_those_of_the_schema(ledger: Ledger) -> None:
    """The conditions of the unique indexes, which a comparison of the metadata leaves out, are there."""
    with ledger.read() as connection:
        kept = " ".join(
            str(index["dialect_options"].get(f"{ledger.dialect}_where", ""))
            for table in ("corrections", "attempts")
            for index in inspect(connection).get_indexes(table)
            if index["unique"]
        )

    for state in ("claimed", "sending", "in_doubt", "quarantined", "applied", "superseded", "refused"):
        assert f"'{state}'" in kept


def test_opening_twice_is_harmless(empty_url: str) -> None:
    """A second opening finds what the first left, and one beginning only."""
    with Ledger.open(empty_url) as first, first.write() as connection:
        leave_note(connection, "seen", 1)

    with Ledger.open(empty_url) as again, again.read() as connection:
        assert (note(connection, "seen"), current_epoch(connection)) == (1, 1)


def test_two_may_open_a_new_ledger_at_once(empty_url: str) -> None:
    """Whoever comes second waits, and finds the tables made."""

    def opened(_: int) -> int:
        with Ledger.open(empty_url) as ledger, ledger.read() as connection:
            return current_epoch(connection)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(4))) == [1, 1, 1, 1]


def test_one_writes_at_a_time(ledger_url: str) -> None:
    """What a write transaction has read is still true when it commits: nobody's count is lost."""
    with Ledger.open(ledger_url) as ledger:
        with ledger.write() as connection:
            leave_note(connection, "count", 0)

        def count(_: int) -> None:
            with ledger.write() as connection:
                leave_note(connection, "count", note(connection, "count") + 1)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(20)))

        with ledger.read() as connection:
            assert note(connection, "count") == 20


def test_a_write_that_fails_leaves_nothing(ledger: Ledger) -> None:
    """A transaction is whole, or it never was."""

    def fail() -> None:
        with ledger.write() as connection:
            leave_note(connection, "half", 1)
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    with ledger.read() as connection:
        assert note(connection, "half") is None


def test_a_read_sees_one_moment(ledger: Ledger) -> None:
    """What another commits meanwhile is not seen by a read that has begun."""
    with ledger.read() as reading:
        before = reading.execute(select(notes)).all()
        with ledger.write() as writing:
            leave_note(writing, "later", 1)

        assert before == reading.execute(select(notes)).all()


def test_what_is_committed_is_on_disk(sqlite_url: str) -> None:
    """SQLite is asked for a write-ahead log, for full synchronisation, and to keep its references."""
    with Ledger.open(sqlite_url) as ledger, ledger.read() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        told = [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    assert told == ["wal", 2, 1, 1]


@pytest.mark.parametrize(
    "name", ["with space", "sharp#sharp", "per%20cent", "100%", "plus+and&", "größe"], ids=ascii
)
def test_a_path_may_have_any_letters(tmp_path: Path, name: str) -> None:
    """The file is made exactly where the path says."""
    file = tmp_path / name / f"{name}.db"
    file.parent.mkdir()

    with Ledger.open(file_url(file)) as ledger:
        assert (file.resolve(), True) == (ledger.file, file.exists())


def test_amounts_of_a_log_may_have_any_letters(ledger: Ledger) -> None:
    """Accounts and namespaces are text, byte for byte."""
    row = {
        "key": "k",
        "at": NOON,
        "outcome": "minted",
        "account": "acct:user:Ä+&%@x.com",
        "namespace": "1.é",
    }
    with ledger.write() as connection:
        connection.execute(insert(mint_lines).values(row))
        assert row == dict(connection.execute(select(mint_lines)).mappings().one())


def no_database(folder: Path) -> str:
    """Write a file that is no database."""
    file = folder / "notes.txt"
    file.write_text("these are notes, and no database at all" * 50, encoding="utf-8")
    return file_url(file)


def another_database(folder: Path) -> str:
    """Make a database of another program, which has a table of ours by chance."""
    file = folder / "payments.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE issuances (id TEXT)")
    connection.close()
    return file_url(file)


def strange_database(folder: Path) -> str:
    """Make a database of another program, which has nothing in common with a ledger."""
    file = folder / "customers.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE customers (id TEXT)")
    return file_url(file)


def newer_ledger(folder: Path) -> str:
    """Make a ledger of a version that is yet to come."""
    file = folder / "newer.db"
    Ledger.open(file_url(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    return file_url(file)


def missing_folder(folder: Path) -> str:
    """Name a file in a folder that is not there."""
    return file_url(folder / "nowhere" / "ledger.db")


def a_folder(folder: Path) -> str:
    """Name a folder."""
    return file_url(folder)


@pytest.mark.parametrize(
    "make, told",
    [
        (no_database, "is not a ledger"),
        (another_database, "is not a ledger"),
        (strange_database, "is not a ledger"),
        (newer_ledger, "newer version"),
        (missing_folder, "nowhere"),
        (a_folder, "cannot be reached"),
    ],
)
def test_what_is_no_ledger_is_left_alone(tmp_path: Path, make: Callable[[Path], str], told: str) -> None:
    """The error names the variable and what is wrong, and the file is as it was."""
    url = make(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    with pytest.raises(LedgerUnusable) as caught:
        Ledger.open(url)

    assert "UCRED_DATABASE_URL" in str(caught.value)
    assert told in str(caught.value)
    assert before == {file: file.read_bytes() for file in before}


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    """The error says where, and does not say the secret."""
    if find_spec("psycopg") is None:
        missing("PostgreSQL is not installed: there is no psycopg")
    pytest.importorskip("psycopg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql://ucred:hunter2@127.0.0.1:{port}/ledger?connect_timeout=2"
        with pytest.raises(LedgerUnusable) as caught:
            Ledger.open(url)

    assert "UCRED_DATABASE_URL: postgresql://ucred:***@127.0.0.1" in str(caught.value)
    assert "cannot be reached" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_write_does_as_it_must_whatever_the_server_is_set_to(postgresql_url: str, isolation: str) -> None:
    """On PostgreSQL a write sees what was committed while it waited, waits a minute at most, and syncs."""
    escaped = isolation.replace(" ", "\\ ")
    settings = f"-c default_transaction_isolation={escaped} -c synchronous_commit=off"
    url = make_url(postgresql_url).update_query_dict({"options": settings})
    shown = ("transaction_isolation", "synchronous_commit", "lock_timeout")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with Ledger.open(url.render_as_string(hide_password=False)) as ledger, ThreadPoolExecutor() as others:

        def look() -> tuple[object, list[object]]:
            with ledger.write() as connection:
                told = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in shown]
                return note(connection, "seen"), told

        with ledger.write() as connection:
            seen = others.submit(look)
            while not connection.exec_driver_sql(waiting).scalar():
                sleep(0.01)
            leave_note(connection, "seen", 1)

        assert seen.result() == (1, ["read committed", "on", "1min"])


def test_a_stricter_commit_is_left_as_it_is(postgresql_url: str) -> None:
    """Who asks that a standby has applied each commit gets it."""
    url = make_url(postgresql_url).update_query_dict({"options": "-c synchronous_commit=remote_apply"})
    with Ledger.open(url.render_as_string(hide_password=False)) as ledger, ledger.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"
