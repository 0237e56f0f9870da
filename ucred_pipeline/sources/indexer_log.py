"""Reads the credits in the indexer's log, the only history of them that there is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ucred_pipeline.domain.evidence import CreditLine
from ucred_pipeline.domain.money import MAX_WEI
from ucred_pipeline.sources.log_files import LogLine, last_moment, read_log_lines

SOURCE: Final = "indexer log"

_MARKER: Final = "Admin credit:"
_OPENING: Final = re.compile(r"Admin credit: asset=")
_AMOUNT: Final = re.compile(r" amount_wei=([0-9]{1,39}) memo=")
_DIGITS: Final = re.compile(r"[0-9]{1,39}")
_ROOT: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CreditLog:
    """The credits in the order of the log, and how many of its lines of credits are damaged."""

    lines: list[CreditLine]
    damaged: int


def read_indexer_log(pattern: str) -> CreditLog:
    """Read the credits of the log at a path, or of the rotated files that a glob matches."""
    lines = []
    damaged = 0
    for line in read_log_lines(SOURCE, pattern, _MARKER):
        credit = _credit(line)
        if credit is not None:
            lines.append(credit)
        elif line.whole:
            damaged += 1
    return CreditLog(lines, damaged)


def _credit(line: LogLine) -> CreditLine | None:
    """Read one line from its end, where nothing is free text."""
    rest, _, root = line.text.rstrip().rpartition(" state_root=")
    body, _, balance = rest.rpartition(" new_balance_wei=")
    if line.has_a_hole or not _ROOT.fullmatch(root) or not _DIGITS.fullmatch(balance):
        return None
    readings = list(_readings(line.text, body, int(balance), root))
    if len(readings) < 2:
        return readings[0] if readings else None
    return replace(readings[0], alternatives=tuple(readings[1:]))


def _readings(raw: str, body: str, balance: int, root: str) -> Iterator[CreditLine]:
    """Yield what the line may mean, the likeliest first.

    An account may contain what looks like the next field, and a memo what looks like a whole
    line; so does a line that was torn by a crash and continued by the next one.
    """
    for opening in _OPENING.finditer(body):
        at = last_moment(body[: opening.start()])
        asset, _, _ = body[opening.end() :].partition(" account=")
        start = opening.end() + len(asset) + len(" account=")
        for split in reversed(list(_AMOUNT.finditer(body, start))):
            amount = int(split[1])
            if at and 0 < amount <= balance <= MAX_WEI:
                account, memo = body[start : split.start()], body[split.end() :]
                yield CreditLine(at, asset, account, amount, memo, balance, root, raw)
