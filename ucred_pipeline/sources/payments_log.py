"""Reads what the payments API's log says of its own tries to mint."""

import re
from typing import Final

from ucred_pipeline.domain.evidence import MintLine, MintOutcome
from ucred_pipeline.sources.log_files import LogLine, last_moment, read_log_lines

SOURCE: Final = "payments log"

_MARKER: Final = "UCRED"
#: The forms of today's build, and of older ones, whose failures do not name the account.
_FORMS: Final = {
    MintOutcome.MINTED: re.compile(
        r"Minted [0-9.]+ UCRED for (?P<account>.*) \(namespace: (?P<namespace>.*)\)\s*$"
    ),
    MintOutcome.REFUSED: re.compile(r"Failed to mint UCRED(?: for (?P<account>.*))?: HTTP [0-9]{3}\b"),
    MintOutcome.UNKNOWN: re.compile(r"UCRED mint request failed(?: for (?P<account>.*?))?: "),
}


def read_payments_log(pattern: str) -> list[MintLine]:
    """Read the tries to mint in the log at a path, or in the rotated files that a glob matches."""
    tries = map(_mint, read_log_lines(SOURCE, pattern, _MARKER))
    return [line for line in tries if line is not None]


def _mint(line: LogLine) -> MintLine | None:
    """Read one line; None where it is no try, has no time, or lost a part."""
    if line.has_a_hole:
        return None
    for outcome, form in _FORMS.items():
        found = form.search(line.text)
        at = last_moment(line.text[: found.start()]) if found else None
        if found and at:
            return MintLine(at, outcome, found["account"], found.groupdict().get("namespace"), line.text)
    return None
