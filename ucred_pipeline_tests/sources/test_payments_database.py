"""The payments database is read whole, in one snapshot, without a trace, or not at all."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from sqlalchemy import URL, Connection

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.sources import payments_database
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.payments_database import PaymentsSnapshot, read_only_uri, read_payments_database

PAYMENTS = """
CREATE TABLE payment_intents (
    id TEXT PRIMARY KEY NOT NULL, stripe_payment_intent_id TEXT NOT NULL UNIQUE,
    amount_cents INTEGER NOT NULL, currency TEXT NOT NULL, customer_email TEXT NOT NULL,
    namespace_reserved TEXT, rarity_tier TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL,
    settled_at TEXT, partner_id TEXT, affiliate_id TEXT, affiliate_referral_code TEXT,
    disputed BOOLEAN NOT NULL DEFAULT 0, issuance_lock_token TEXT, processing_started_at TEXT,
    nil_name TEXT, nil_role TEXT CHECK (nil_role IN ('city', 'mascot')), nil_pair_key TEXT
)"""
ISSUANCES = """
CREATE TABLE issuances (
    id TEXT PRIMARY KEY NOT NULL, payment_intent_id TEXT NOT NULL REFERENCES payment_intents (id),
    namespace TEXT NOT NULL UNIQUE, certificate_ipfs_cid TEXT NOT NULL, certificate_hash_sha3 TEXT NOT NULL,
    customer_email TEXT NOT NULL, issued_at TEXT NOT NULL, download_token TEXT NOT NULL UNIQUE,
    download_expires_at TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'pending', voided_at TEXT,
    retry_count INTEGER NOT NULL DEFAULT 0, last_error TEXT, next_retry_at TEXT,
    nil_name TEXT, nil_role TEXT, nil_pair_key TEXT
)"""
RFC3339 = "2026-01-21T17:46:00.123456789+00:00"
AT = datetime(2026, 1, 21, 17, 46, 0, 123456, tzinfo=UTC)
LOCAL_ID = "8f14e45f-ceea-467f-9575-1d3a0f5c0001"
ODD_ADDRESS = "Jürgen+a&b%2B@Example.COM "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path with what Windows users and URLs find difficult."""
    directory = tmp_path / "Program Files #1"
    directory.mkdir()
    return directory / "pay ments?100%25&x=y.db"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """A database in the payments API's own schema, with its writer's connection."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(PAYMENTS)
        connection.execute(ISSUANCES)
        yield connection


def insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a row."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def pay(database: sqlite3.Connection, number: int = 1, **changes: Any) -> None:
    """Insert a payment."""
    row = {
        "id": LOCAL_ID[:-1] + str(number),
        "stripe_payment_intent_id": f"pi_{number}",
        "amount_cents": 3500,
        "currency": "usd",
        "customer_email": "buyer@example.com",
        "rarity_tier": "common",
        "status": '"delivered"',
        "created_at": RFC3339,
    }
    insert(database, "payment_intents", row | changes)


def issue(database: sqlite3.Connection, number: int = 1, **changes: Any) -> None:
    """Insert a certificate."""
    row = {
        "id": f"certificate-{number}",
        "payment_intent_id": LOCAL_ID[:-1] + str(number),
        "namespace": f"{number}.x",
        "certificate_ipfs_cid": "Qm",
        "certificate_hash_sha3": "",
        "customer_email": "buyer@example.com",
        "issued_at": RFC3339,
        "download_token": f"token-{number}",
        "download_expires_at": RFC3339,
        "state": "issued",
    }
    insert(database, "issuances", row | changes)


def read(path: Path) -> PaymentsSnapshot:
    """Read the database at a path."""
    url = URL.create("sqlite", database=str(path))
    return read_payments_database(url.render_as_string(hide_password=False), SystemClock())


def refused(path: Path) -> str:
    """Fail to read the database at a path; give the text of the error."""
    with pytest.raises(SourceUnreadable) as caught:
        read(path)
    assert "@example.com" not in str(caught.value)
    return str(caught.value)


def test_rows_come_with_their_oddities_put_right(database: sqlite3.Connection, path: Path) -> None:
    """Quotes, times, the join by the local id and empty texts come out as the domain knows them."""
    pay(database, customer_email=ODD_ADDRESS, namespace_reserved="1.x", nil_name="Kyoto")
    pay(database, 2, status="succeeded", namespace_reserved="", created_at="2026-01-21 17:46:00.5")
    issue(
        database,
        customer_email=ODD_ADDRESS,
        nil_name="Kyoto",
        state="voided",
        voided_at="2026-01-21 17:46:00",
    )
    issue(database, 2, state="held", nil_name="", issued_at="2026-01-21T19:46:00.123456789+02:00")

    snapshot = read(path)

    half = AT.replace(microsecond=500_000)
    assert snapshot.records == [
        PaymentRecord("pi_1", ODD_ADDRESS, "1.x", "Kyoto", "delivered", AT),
        PaymentRecord("pi_2", "buyer@example.com", None, None, "succeeded", half),
    ]
    assert snapshot.issuances == [
        Issuance(
            "certificate-1", "pi_1", "1.x", ODD_ADDRESS, "Kyoto", "voided", AT, AT.replace(microsecond=0)
        ),
        Issuance("certificate-2", "pi_2", "2.x", "buyer@example.com", None, "held", AT, None),
    ]
    assert snapshot.problems == ()


def test_empty_tables_are_an_empty_snapshot(database: sqlite3.Connection, path: Path) -> None:
    """A shop that has sold nothing is no error."""
    began = SystemClock().now()

    snapshot = read(path)

    assert database.in_transaction is False
    assert (snapshot.records, snapshot.issuances) == ([], [])
    assert began <= snapshot.began <= SystemClock().now()


def test_rows_that_should_not_be_are_told_without_addresses(database: sqlite3.Connection, path: Path) -> None:
    """A certificate without its payment and a row without an address are read, and named."""
    issue(database, 7, customer_email="")

    snapshot = read(path)

    assert snapshot.issuances[0].payment_intent == f"unknown:{LOCAL_ID[:-1]}7"
    assert snapshot.problems == (
        "1 issuances name a payment that is not there (the first: certificate-7)",
        "1 rows have an empty customer_email",
    )


def test_a_writer_in_its_transaction_neither_waits_nor_shows(
    database: sqlite3.Connection, path: Path
) -> None:
    """What is committed is read while another connection holds the lock of the writer."""
    pay(database)
    database.execute("BEGIN IMMEDIATE")
    pay(database, 2)

    assert [record.payment_intent for record in read(path).records] == ["pi_1"]

    database.execute("COMMIT")
    assert len(read(path).records) == 2


def test_both_tables_are_read_at_one_moment(
    database: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purchase committed between the reads of the two tables is in neither."""
    pay(database)
    read_table = payments_database._read_table

    def interrupted(connection: Connection, layout: payments_database._Layout) -> payments_database._Rows:
        rows = read_table(connection, layout)
        pay(database, 2 + database.total_changes)
        issue(database, 2 + database.total_changes, state="pending")
        return rows

    monkeypatch.setattr(payments_database, "_read_table", interrupted)
    snapshot = read(path)

    assert [record.payment_intent for record in snapshot.records] == ["pi_1"]
    assert snapshot.issuances == []


def test_reading_changes_nothing(database: sqlite3.Connection, path: Path) -> None:
    """The file stays as it was, and its connection could not write to it."""
    pay(database)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()

    read(path)

    assert path.read_bytes() == before
    with (
        closing(sqlite3.connect(read_only_uri(path), uri=True)) as reader,
        pytest.raises(sqlite3.OperationalError),
    ):
        reader.execute("DELETE FROM payment_intents")


def test_a_writer_that_keeps_the_file_locked_is_named(
    database: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that does not go away within the time-out ends the read."""
    monkeypatch.setattr(payments_database, "BUSY_TIMEOUT_S", 0)
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("BEGIN EXCLUSIVE")

    assert "was locked by a writer" in refused(path)


def test_a_file_that_is_not_there_is_not_created(path: Path) -> None:
    """A wrong path is an error, not an empty database."""
    assert f"there is no file {path}" in refused(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 100, b"short"])
def test_a_file_that_is_no_database_is_named(path: Path, content: bytes) -> None:
    """A file of another kind is refused as such."""
    path.write_bytes(content)

    assert "is not a SQLite database" in refused(path)


def test_a_damaged_database_is_named(database: sqlite3.Connection, path: Path) -> None:
    """Pages that make no sense end the read."""
    pay(database)
    database.execute("PRAGMA journal_mode = DELETE")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    assert "is damaged" in refused(path)


@pytest.mark.parametrize("table", ["payment_intents", "issuances"])
def test_a_missing_table_is_named(database: sqlite3.Connection, path: Path, table: str) -> None:
    """Without one of the two tables nothing is read."""
    database.execute(f"DROP TABLE {table}")

    assert f"there is no table {table}" in refused(path)


@pytest.mark.parametrize(
    "table, column",
    [
        *(("payment_intents", name) for name in payments_database._PAYMENTS.required[2:]),
        *(("issuances", name) for name in payments_database._ISSUANCES.required[1:]),
    ],
)
def test_a_missing_required_column_is_named(
    database: sqlite3.Connection, path: Path, table: str, column: str
) -> None:
    """Without one of the columns that a judgement needs, nothing is read."""
    database.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO renamed")

    assert f"the table {table} has no column {column}, only " in refused(path)


def test_missing_optional_columns_are_read_as_empty(database: sqlite3.Connection, path: Path) -> None:
    """A release that drops what is not needed does not stop a run; the snapshot says so."""
    pay(database, namespace_reserved="1.x", nil_name="Kyoto")
    issue(database, nil_name="Kyoto", voided_at=RFC3339)
    for column in ("payment_intents.namespace_reserved", "payment_intents.nil_name", "issuances.voided_at"):
        table, name = column.split(".")
        database.execute(f"ALTER TABLE {table} DROP COLUMN {name}")

    snapshot = read(path)

    assert [(record.namespace_reserved, record.nil_name) for record in snapshot.records] == [(None, None)]
    assert [(issuance.voided, issuance.nil_name) for issuance in snapshot.issuances] == [(None, "Kyoto")]
    assert snapshot.problems == (
        "the table payment_intents has no column namespace_reserved: read as empty",
        "the table payment_intents has no column nil_name: read as empty",
        "the table issuances has no column voided_at: read as empty",
    )


def test_new_columns_do_not_matter(database: sqlite3.Connection, path: Path) -> None:
    """A release may add what it likes."""
    database.execute("ALTER TABLE issuances ADD COLUMN whatever WEIRD_TYPE(3)")
    issue(database)

    assert len(read(path).issuances) == 1


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-01-21",
        "2026-13-21T17:46:00Z",
        "2026-01-21 17:46:00 buyer@example.com",
        1769017560,
        b"x",
    ],
)
@pytest.mark.parametrize("column", ["issued_at", "voided_at"])
def test_a_time_that_is_none_is_named_by_row(
    database: sqlite3.Connection, path: Path, column: str, value: object
) -> None:
    """A time that cannot be understood ends the read with table, column and row, not with the value."""
    changes: dict[str, Any] = {column: value}
    issue(database, **changes)

    text = refused(path)

    assert f"issuances.{column} cannot be understood in the row 'certificate-1'" in text


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
def test_a_time_at_the_end_of_days_is_named_too(database: sqlite3.Connection, path: Path, value: str) -> None:
    """A time that has no place in UTC does not end in a traceback."""
    pay(database, created_at=value)

    assert "payment_intents.created_at cannot be understood" in refused(path)


def test_text_that_is_not_text_is_named(database: sqlite3.Connection, path: Path) -> None:
    """An address that is stored as bytes cannot be taken byte for byte."""
    pay(database, customer_email=b"buyer@example.com")

    assert "payment_intents.customer_email cannot be understood" in refused(path)


def test_text_that_is_not_utf8_is_refused_without_quoting_it(
    database: sqlite3.Connection, path: Path
) -> None:
    """The driver's message would hold the address; ours does not."""
    pay(database)
    database.execute(
        "UPDATE payment_intents SET customer_email = CAST(x'ff406578616d706c652e636f6d' AS TEXT)"
    )

    assert "holds text that is not UTF-8" in refused(path)


@pytest.mark.parametrize(
    "table, columns",
    [("payment_intents", payments_database._PAYMENTS), ("issuances", payments_database._ISSUANCES)],
)
def test_null_where_a_value_is_needed_is_named(
    database: sqlite3.Connection, path: Path, table: str, columns: payments_database._Layout
) -> None:
    """A table that allows NULL where the payments API does not is no reason to guess."""
    database.execute(f"DROP TABLE {table}")
    database.execute(f"CREATE TABLE {table} ({', '.join(columns.required)})")
    row = dict.fromkeys(columns.required, RFC3339)
    for name in columns.required:
        database.execute(f"DELETE FROM {table}")
        insert(database, table, row | {name: None})

        assert f"{table}.{name} is NULL in the row" in refused(path)


def test_two_rows_of_one_payment_are_refused(database: sqlite3.Connection, path: Path) -> None:
    """A PaymentIntent that two rows claim is named, and nothing is decided."""
    database.execute("DROP TABLE payment_intents")
    database.execute(PAYMENTS.replace(" UNIQUE", ""))
    pay(database)
    pay(database, 2, stripe_payment_intent_id="pi_1")

    assert "two rows of payment_intents have the stripe_payment_intent_id 'pi_1'" in refused(path)


@pytest.mark.parametrize(
    "path, expected",
    [
        (PurePosixPath("/srv/a b/100%#?.db"), "file:///srv/a%20b/100%25%23%3F.db?mode=ro"),
        (PureWindowsPath(r"C:\Program Files\pay.db"), "file:///C:/Program%20Files/pay.db?mode=ro"),
        (PureWindowsPath(r"\\server\share\ü.db"), "file:////server/share/%C3%BC.db?mode=ro"),
    ],
)
def test_a_path_is_named_to_sqlite_on_every_system(
    path: PurePosixPath | PureWindowsPath, expected: str
) -> None:
    """Drive letters, shares, spaces and the characters of URLs reach the same file, for reading only."""
    assert expected == read_only_uri(path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@127.0.0.1:1/payments",
        "postgresql+psycopg://user:hunter2@127.0.0.1:x/payments",
        "hunter2",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_what_cannot_be_reached_is_named_without_the_password(url: str) -> None:
    """A server that is not there, and what is no URL of a database, are errors without a secret."""
    with pytest.raises(SourceUnreadable, match="payments database: ") as caught:
        read_payments_database(url, SystemClock())

    assert "hunter2" not in str(caught.value)
    assert "PAYMENTS_DATABASE_URL" in caught.value.advice
