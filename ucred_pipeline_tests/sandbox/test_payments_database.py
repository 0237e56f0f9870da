"""The payments database is the real one's likeness, oddities included."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text

from ucred_pipeline.sandbox import Sandbox

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00")
SQL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture
def database(default_world: Sandbox) -> Iterator[sqlite3.Connection]:
    """The file, opened for reading beside its writer."""
    path = default_world.folder / "payments.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def rows_of(database: sqlite3.Connection, world: Sandbox, case: str) -> list[sqlite3.Row]:
    """The issuances of a case."""
    (purchase,) = world.truth.of_case(case)
    return database.execute(
        "SELECT i.*, p.status FROM issuances i JOIN payment_intents p ON p.id = i.payment_intent_id"
        " WHERE p.stripe_payment_intent_id = ?",
        [purchase.payment_intent],
    ).fetchall()


def test_tables(database: sqlite3.Connection) -> None:
    """Every table that the owners name is there."""
    names = {row["name"] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    assert names >= {
        "payment_intents",
        "issuances",
        "affiliates",
        "affiliate_earnings",
        "processed_stripe_events",
        "issuance_retries",
        "friends_family_codes",
    }


def test_the_writer_uses_a_write_ahead_log(database: sqlite3.Connection) -> None:
    """A reader meets WAL, as with the live writer."""
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_statuses_are_json(database: sqlite3.Connection) -> None:
    """Newer rows hold the status with its quotation marks, older ones without."""
    statuses = {row["status"] for row in database.execute("SELECT DISTINCT status FROM payment_intents")}

    assert {'"delivered"', '"succeeded"', '"refunded"', '"processing"', "delivered"} <= statuses


def test_settled_is_wiped_at_delivery(database: sqlite3.Connection) -> None:
    """A finished purchase no longer knows when it was paid."""
    delivered = "status IN ('\"delivered\"', 'delivered')"
    settled = database.execute(
        f"SELECT count(*) FROM payment_intents WHERE {delivered} AND settled_at IS NOT NULL"
    )
    waiting = database.execute(
        "SELECT count(*) FROM payment_intents WHERE status LIKE '%succeeded%' AND settled_at IS NULL"
    )

    assert (settled.fetchone()[0], waiting.fetchone()[0]) == (0, 0)


def test_two_formats_of_time(database: sqlite3.Connection) -> None:
    """The driver writes RFC 3339 with nine decimals, and SQL writes seconds."""
    for row in database.execute("SELECT created_at FROM payment_intents"):
        assert RFC_3339.fullmatch(row["created_at"])
    voided = [
        row["voided_at"] for row in database.execute("SELECT voided_at FROM issuances") if row["voided_at"]
    ]

    assert voided
    assert all(SQL.fullmatch(moment) for moment in voided)


def test_placeholders(database: sqlite3.Connection, default_world: Sandbox) -> None:
    """What was never issued has empty placeholders, and only one row can have the empty token."""
    (row,) = rows_of(database, default_world, "unissued_placeholder")

    assert (row["state"], row["certificate_ipfs_cid"], row["download_token"]) == ("pending", "", "")
    assert rows_of(database, default_world, "unissued_without_row") == []
    (failed,) = rows_of(database, default_world, "unissued_failed")
    assert (failed["state"], failed["certificate_ipfs_cid"]) == ("failed", "")


def test_late_refunds_and_disputes_are_not_there(
    database: sqlite3.Connection, default_world: Sandbox
) -> None:
    """Only an early refund voids; for the rest Stripe is the truth."""
    states = {
        case: [(row["state"], row["status"].strip('"')) for row in rows_of(database, default_world, case)]
        for case in (
            "withdrawn_voided_credited",
            "withdrawn_refunded_late_credited",
            "withdrawn_disputed_credited",
        )
    }

    assert states == {
        "withdrawn_voided_credited": [("voided", "refunded")],
        "withdrawn_refunded_late_credited": [("issued", "delivered")],
        "withdrawn_disputed_credited": [("issued", "delivered")],
    }
    assert database.execute("SELECT sum(disputed) FROM payment_intents").fetchone()[0] == 0


def test_one_payment_with_two_certificates(database: sqlite3.Connection, default_world: Sandbox) -> None:
    """Nothing in the schema forbids it."""
    states = [row["state"] for row in rows_of(database, default_world, "ambiguous_twice_issued")]

    assert states == ["issued", "issued"]


def test_a_namespace_that_was_given_away(database: sqlite3.Connection, default_world: Sandbox) -> None:
    """The one row of a namespace belongs to its new payment, and the old one keeps none."""
    (new,) = rows_of(database, default_world, "namespace_taken_over")
    (old,) = default_world.truth.of_case("namespace_given_away")

    assert rows_of(database, default_world, "namespace_given_away") == []
    assert (new["namespace"], new["state"]) == (old.namespace, "issued")


def test_what_the_database_does_not_know(database: sqlite3.Connection, default_world: Sandbox) -> None:
    """Foreign payments are not in it, and one purchase is missing as well."""
    known = {row[0] for row in database.execute("SELECT stripe_payment_intent_id FROM payment_intents")}
    unknown = {row.case for key, row in default_world.truth.purchases.items() if key not in known}

    assert unknown == {"foreign", "unissued_unknown_to_database"}


@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO issuances SELECT 'new', payment_intent_id, namespace, '', '', '', '', 'new', '',"
            " state, NULL, 0, NULL, NULL, NULL, NULL, NULL FROM issuances LIMIT 1"
        ),
        "UPDATE payment_intents SET customer_email = NULL",
    ],
)
def test_constraints(sandbox: Sandbox, statement: str) -> None:
    """A namespace is issued once, and an address is always there."""
    with (
        closing(sqlite3.connect(sandbox.folder / "payments.db")) as connection,
        pytest.raises(sqlite3.IntegrityError),
    ):
        connection.execute(statement)


def test_the_setting_is_an_address_for_sqlalchemy(default_world: Sandbox) -> None:
    """The address opens as it is printed, from a path with spaces."""
    address = default_world.environment()["PAYMENTS_DATABASE_URL"]
    engine = create_engine(address)
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM payment_intents")).scalar_one()
    engine.dispose()

    assert " " in address
    assert count > 200
