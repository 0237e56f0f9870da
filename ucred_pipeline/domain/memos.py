"""Memos: the free text of a credit, and which purchase it names.

`purchase:{namespace}` is the payments API's own, `manual_credit:{namespace}` a person's,
`topup:{hash}` a consent gateway's. Ours name the attempt as well:
`correction:{namespace}:{correction id}.{attempt}` and
`manual_credit:{namespace}:{correction id}.{attempt}`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_OWN_ATTEMPT: Final = re.compile(
    r"(?P<namespace>.+):(?P<correction>[0-9a-f]{16})\.(?P<attempt>[1-9][0-9]{0,8})", re.DOTALL
)
#: How the memo of a consent gateway's top-up begins.
TOP_UP: Final = "topup:"
#: What a log may not show as it was written: control characters, line and paragraph separators.
_NOT_PLAIN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]")


class CorrectionKind(StrEnum):
    """Who asked for a corrective credit: the pipeline's judgement, or support."""

    CORRECTION = "correction"
    MANUAL = "manual_credit"


@dataclass(frozen=True, slots=True)
class Memo:
    """What a memo says: the purchase's namespace, and our own correction and attempt when it is ours."""

    prefix: str
    namespace: str
    correction: str | None = None
    attempt: int | None = None


def is_plain(name: str) -> bool:
    """Whether a namespace or an account comes back from a line of a log as it was written."""
    return not _NOT_PLAIN.search(name)


def memo_of(kind: CorrectionKind, namespace: str, correction: str, attempt: int) -> str:
    """Write the memo of one attempt; `correction` is its id of 16 hexadecimal digits."""
    return f"{kind.value}:{namespace}:{correction}.{attempt}"


def read_memo(text: str) -> Memo | None:
    """Read the memo of a credit that names a purchase; None for any other."""
    prefix, separator, rest = text.partition(":")
    if not separator or not rest:
        return None
    if prefix == "purchase":
        return Memo(prefix, rest)
    if prefix not in (CorrectionKind.CORRECTION, CorrectionKind.MANUAL):
        return None
    own = _OWN_ATTEMPT.fullmatch(rest)
    if own is not None:
        return Memo(prefix, own["namespace"], own["correction"], int(own["attempt"]))
    return Memo(prefix, rest) if prefix == CorrectionKind.MANUAL else None
