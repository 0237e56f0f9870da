"""What the payments API writes to its log."""

from datetime import datetime
from typing import Final

from ucred_pipeline.sandbox.tracing_log import TracingLog

_URL: Final = "error sending request for url (http://localhost:8089/admin/credit): "
REFUSED_CONNECTION: Final = (
    _URL + "error trying to connect: tcp connect error: Connection refused (os error 111)"
)
TIMED_OUT: Final = _URL + "operation timed out"

#: A line that is still to be written: when, its level, and what it says.
Line = tuple[datetime, str, str]


def certificate_line(at: datetime, namespace: str, cid: str) -> Line:
    """The certificate exists."""
    return at, "INFO", f"Certificate issued successfully: namespace={namespace}, ipfs_cid={cid}"


def failed_issuance_line(at: datetime, namespace: str, error: str) -> Line:
    """The certificate does not exist."""
    return at, "ERROR", f"Certificate issuance failed: namespace={namespace}, error={error}"


def minted_line(at: datetime, account: str, namespace: str) -> Line:
    """The buyer was credited."""
    return at, "INFO", f"✅ Minted 1 UCRED for {account} (namespace: {namespace})"


def refused_line(at: datetime, account: str, *, old_build: bool) -> Line:
    """The indexer did not accept the token."""
    if old_build:
        return at, "ERROR", "Failed to mint UCRED: HTTP 401"
    return at, "ERROR", f"Failed to mint UCRED for {account}: HTTP 401 Unauthorized"


def request_failed_line(at: datetime, account: str, error: str, *, old_build: bool) -> Line:
    """The request ended without an answer."""
    whose = "" if old_build else f" for {account}"
    return at, "ERROR", f"UCRED mint request failed{whose}: {error}"


def write_lines(log: TracingLog, lines: list[Line]) -> None:
    """Append lines in the order of their times."""
    for at, level, message in sorted(lines):
        log.write(at, level, message, flush=False)
    log.flush()
