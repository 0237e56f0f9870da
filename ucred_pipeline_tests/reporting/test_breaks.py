"""The open breaks as a document, a table and CSV."""

import csv
import io
from datetime import datetime
from typing import Any

import pytest

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.breaks import KINDS
from ucred_pipeline.reporting.breaks import FIELDS, csv_text, document, table
from ucred_pipeline_tests.reporting.worlds import World, shown

NOW = SystemClock().now


def breaks_of(world: World, kind: str | None = None) -> list[dict[str, Any]]:
    """Read the document's breaks."""
    with world.pipeline.ledger.read() as connection:
        found: list[dict[str, Any]] = document(connection, kind, NOW())["breaks"]
    return found


def one_break(**fields: object) -> dict[str, Any]:
    """Make a document of one break."""
    row = dict.fromkeys(FIELDS, "x") | {"reason": "voided", "amount_wei": "1", "age_s": 1}
    return {"breaks": [row | fields]}


def test_fields(world: World) -> None:
    """Every break has the fields of the contract, in the right forms."""
    for row in breaks_of(world):
        assert tuple(row) == FIELDS
        assert isinstance(row["age_s"], int)
        assert row["amount_wei"] == str(int(row["amount_wei"]))
        assert row["first_seen"].endswith("Z")
        assert datetime.fromisoformat(row["first_seen"]) <= NOW()


def test_count(world: World) -> None:
    """There are as many as the run said."""
    assert len(breaks_of(world)) == world.run.summary["breaks_open"]


@pytest.mark.parametrize("kind", KINDS)
def test_kind(world: World, kind: str) -> None:
    """A kind gives the breaks of that kind and all of them."""
    expected = [row["id"] for row in breaks_of(world) if row["kind"] == kind]

    assert [row["id"] for row in breaks_of(world, kind)] == expected


def test_csv_is_the_document(world: World) -> None:
    """The CSV has a header and says what the document says."""
    with world.pipeline.ledger.read() as connection:
        found = document(connection, None, NOW())
    rows = list(csv.DictReader(io.StringIO(csv_text(found), newline="")))

    told = [{name: "" if row[name] is None else str(row[name]) for name in FIELDS} for row in found["breaks"]]

    assert rows == told


@pytest.mark.parametrize("opening", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_neutralised(opening: str) -> None:
    """A cell that a spreadsheet would read as a formula begins with an apostrophe."""
    text = csv_text(one_break(account=f"{opening}1+1"))
    row = next(csv.DictReader(io.StringIO(text, newline="")))

    assert row["account"] == f"'{opening}1+1"


def test_csv_quotes_by_rfc_4180() -> None:
    """Commas, quotes and line ends stay within their cell, and lines end in CR LF."""
    text = csv_text(one_break(account='a,"b"\r\nc', namespace=None))

    assert '"a,""b""\r\nc"' in text
    assert text.endswith("\r\n")
    assert next(csv.DictReader(io.StringIO(text, newline="")))["namespace"] == ""


def test_table_names_every_break(world: World) -> None:
    """The table fits 80 columns and cuts no id off."""
    with world.pipeline.ledger.read() as connection:
        found = document(connection, None, NOW())
    lines = shown(table(found)).splitlines()

    assert max(map(len, lines)) <= 80
    assert all(any(row["id"] in line for line in lines) for row in found["breaks"])


def test_no_breaks() -> None:
    """Nothing open is said, not shown as an empty table."""
    assert "nothing waits for attention" in shown(table({"breaks": []}))


def test_no_breaks_of_a_kind() -> None:
    """Where none of one kind is open, nothing is said of the others but where they are listed."""
    text = shown(table({"breaks": []}, "lacking"))

    assert "No open breaks of the kind lacking" in text
    assert "nothing waits" not in text


def test_markup_and_control_codes_are_text() -> None:
    """What customers wrote reaches a terminal as text only."""
    text = shown(table(one_break(namespace="[bold]a[/bold]\x1b[31m")))

    assert "[bold]a[/bold]" in text
    assert "\x1b" not in text
