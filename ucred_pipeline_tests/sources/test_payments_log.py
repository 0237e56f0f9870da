"""The payments API's log says which of its own mints succeeded, failed, or may have done either."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ucred_pipeline.domain.evidence import MintLine, MintOutcome
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.payments_log import read_payments_log

BUYER = "acct:user:buyer@example.com"
ODD = "acct:user:jürgen+a b@x.com"
AT = datetime(2026, 1, 21, 17, 46, 0, 123456, tzinfo=UTC)
MINTED, REFUSED, UNKNOWN = MintOutcome


def read(directory: Path, *messages: str, end: str = "\n", level: str = " INFO") -> list[MintLine]:
    """Write a log with these messages and read it."""
    path = directory / "payments.log"
    heads = (f"2026-01-21T17:46:00.123456Z {level} payments_api::webhook: {message}" for message in messages)
    path.write_text("\n".join(heads) + end, encoding="utf-8", newline="")
    return read_payments_log(str(path))


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize(
    "message, expected",
    [
        (f"✅ Minted 1 UCRED for {BUYER} (namespace: 123.x)", (MINTED, BUYER, "123.x")),
        (f"Γ£à Minted 0.5 UCRED for {BUYER} (namespace: 123.x)", (MINTED, BUYER, "123.x")),
        (f"✅ Minted 1 UCRED for {ODD} (namespace: a (b).x)", (MINTED, ODD, "a (b).x")),
        (f"Failed to mint UCRED for {BUYER}: HTTP 401 Unauthorized", (REFUSED, BUYER, None)),
        (f"Failed to mint UCRED for {ODD}: HTTP 500", (REFUSED, ODD, None)),
        ("Failed to mint UCRED: HTTP 401", (REFUSED, None, None)),
        (f"UCRED mint request failed for {BUYER}: error sending: timed out", (UNKNOWN, BUYER, None)),
        ("UCRED mint request failed: error sending request: refused", (UNKNOWN, None, None)),
    ],
)
def test_each_form_is_read(
    tmp_path: Path, message: str, end: str, expected: tuple[MintOutcome, str | None, str | None]
) -> None:
    """Today's forms and those of older builds give the outcome, and the account and namespace they name."""
    [line] = read(tmp_path, message, end=end)

    assert expected == (line.outcome, line.account, line.namespace)
    assert line.at == AT
    assert line.raw.endswith(message)


@pytest.mark.parametrize(
    "message",
    [
        "Certificate issued successfully: namespace=123.x, ipfs_cid=Qm1",
        "UCRED minting is not configured",
        f"✅ Minted 1 UCRED for {BUYER} (namespace: 12",
        f"Failed to mint UCRED for {BUYER}: HTTP 4",
        f"UCRED mint request failed for {BUYER[:-3]}",
    ],
)
def test_other_lines_and_parts_of_lines_are_no_evidence(tmp_path: Path, message: str) -> None:
    """A line that is still being written, or that is about something else, shows nothing."""
    assert read(tmp_path, message, end="") == []


def test_a_line_without_a_time_is_no_evidence(tmp_path: Path) -> None:
    """A mint of which nobody can say when it was is not taken."""
    path = tmp_path / "payments.log"
    path.write_text(f"Minted 1 UCRED for {BUYER} (namespace: 1.x)\n")

    assert read_payments_log(str(path)) == []


def test_lines_keep_their_order_and_come_once(tmp_path: Path) -> None:
    """A line that was copied by a rotation is one try, not two."""
    minted = [f"✅ Minted 1 UCRED for {BUYER} (namespace: {number}.x)" for number in (2, 1, 2)]

    assert [line.namespace for line in read(tmp_path, *minted)] == ["2.x", "1.x"]


def test_a_log_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    """A missing log is an error, not an empty log."""
    with pytest.raises(SourceUnreadable, match="payments log: no file matches"):
        read_payments_log(str(tmp_path / "*.log"))
