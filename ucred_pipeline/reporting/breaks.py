"""The open breaks, as a document, as a table, and as CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from sqlalchemy import Connection

from ucred_pipeline.domain.verdicts import Reason
from ucred_pipeline.ledger.breaks import Break, open_breaks
from ucred_pipeline.reporting.terminal import facts, plain
from ucred_pipeline.reporting.wording import counted, iso, lasting, seconds_since, ucred

#: The fields of a break, in the order in which they are written.
FIELDS: Final = (
    "id",
    "kind",
    "verdict",
    "reason",
    "payment_intent",
    "namespace",
    "account",
    "amount_wei",
    "first_seen",
    "age_s",
)
#: Before what a spreadsheet would read as a formula: at the beginning of a cell, and after what it may take
#: for the end of one, which is a semicolon where the comma is for decimals, a tab, or the end of a line.
_FORMULA: Final = re.compile(r"^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20])")


def document(connection: Connection, kind: str | None, now: datetime) -> dict[str, Any]:
    """Give the open breaks, or those of one kind, oldest first."""
    return document_of(open_breaks(connection, kind), now)


def document_of(found: Sequence[Break], now: datetime) -> dict[str, Any]:
    """Give breaks as a document."""
    return {"breaks": [_told(one, now) for one in found]}


def table(document: Mapping[str, Any], kind: str | None = None) -> RenderableType:
    """Lay out a document of breaks, of one kind or of all, for a terminal."""
    rows = document["breaks"]
    if not rows and kind is not None:
        return plain(f"No open breaks of the kind {kind}; `ucred breaks` lists those of every kind.")
    if not rows:
        return plain("No open breaks: nothing waits for attention.")
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("BREAK", "KIND", "AGE", "UCRED", "PURCHASE"):
        grid.add_column(name, no_wrap=name != "PURCHASE", overflow="fold")
    for row in rows:
        told = (row["id"], row["kind"], lasting(row["age_s"]), _ucred(row), _name(row))
        grid.add_row(*map(plain, told))
    return Group(grid, "", *_reasons(rows))


def csv_text(document: Mapping[str, Any]) -> str:
    """Write a document of breaks as CSV (RFC 4180); no cell can be read as a formula."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(FIELDS)
    rows.writerows([_cell(row[name]) for name in FIELDS] for row in document["breaks"])
    return written.getvalue()


def _told(found: Break, now: datetime) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind,
        "verdict": found.verdict,
        "reason": found.reason,
        "payment_intent": found.payment_intent,
        "namespace": found.namespace,
        "account": found.account,
        "amount_wei": str(found.amount),
        "first_seen": iso(found.first_seen),
        "age_s": seconds_since(found.first_seen, now),
    }


def _ucred(row: Mapping[str, Any]) -> str:
    return ucred(int(row["amount_wei"])).removesuffix(" UCRED")


def _name(row: Mapping[str, Any]) -> str:
    return str(row["namespace"] or row["payment_intent"])


def _reasons(rows: list[Mapping[str, Any]]) -> list[RenderableType]:
    """Say once for each kind and reason what it means, and where to look further."""
    counts = Counter((row["kind"], row["reason"]) for row in rows)
    told = [
        (f"{count} {kind}", Reason[reason.upper()].text) for (kind, reason), count in sorted(counts.items())
    ]
    total = counted(len(rows), "open break")
    return [plain(f"{total}:", "bold"), facts(told), "", plain("Look into one:  ucred explain BREAK")]


def _cell(value: object) -> str:
    return _FORMULA.sub("'", "" if value is None else str(value))
