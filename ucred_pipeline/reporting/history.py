"""What `ucred verify` says: whether the history is whole, and where it breaks."""

from typing import Any

from ucred_pipeline.ledger.verification import Verified
from ucred_pipeline.reporting.wording import at, iso


def document(found: Verified) -> dict[str, Any]:
    """Say it for programs."""
    broken = found.broken
    return {
        "entries": found.entries,
        "first": iso(found.first) if found.first else None,
        "last": iso(found.last) if found.last else None,
        "head": found.head,
        "broken": {"sequence": broken.sequence, "says": broken.says} if broken else None,
    }


def render(found: Verified) -> str:
    """Say it for people, with what to do next."""
    if found.broken is not None:
        return (
            f"The history breaks: {found.broken.says}.\n"
            f"{found.entries:,} entries before that are whole.\n"
            "Stop all sending with `ucred hold --reason TEXT --by NAME`; "
            "then see docs/runbook.md, The history does not verify."
        )
    if found.first is None or found.last is None:
        return "The history is whole; nothing has happened yet."
    return (
        f"The history is whole: {found.entries:,} entries from {at(found.first)} to {at(found.last)} UTC,\n"
        "and the corrections, their attempts and the holds are as it tells.\n"
        f"Newest hash: {found.head}\n"
        "Keep it elsewhere: `ucred verify --expect HASH` shows later that nothing until here was changed."
    )
