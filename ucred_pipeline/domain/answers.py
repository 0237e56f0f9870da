"""What one answer to `POST /admin/credit` proves; the source of every rule is the reviewed build.

Only an answer that the indexer is known to give before it acts proves that nothing happened. Every
other one, whatever its status, leaves the credit in doubt.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from ucred_pipeline.domain.money import InvalidAmount, parse_wei

_ROOT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Effect(StrEnum):
    """Whether the credit happened."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    IN_DOUBT = "in_doubt"


class AnswerKind(StrEnum):
    """Which row of the table of answers an answer belongs to."""

    ACKNOWLEDGED = "acknowledged"
    NEVER_SENT = "never_sent"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - the name of a finding
    REQUEST_REFUSED = "request_refused"
    CREDIT_REFUSED = "credit_refused"
    TOO_MANY_REQUESTS = "too_many_requests"
    NO_ANSWER = "no_answer"
    UNCLEAR_ANSWER = "unclear_answer"


#: Refusals by status and how their text begins.
_REFUSALS: Final = (
    (400, ("Invalid amount: ", "Failed to parse the request body as JSON"), AnswerKind.REQUEST_REFUSED),
    (415, ("Expected request with `Content-Type: application/json`",), AnswerKind.REQUEST_REFUSED),
    (422, ("Failed to deserialize the JSON body into the target type",), AnswerKind.REQUEST_REFUSED),
    (429, ("",), AnswerKind.TOO_MANY_REQUESTS),
)
#: Refusals by status and their whole text.
_WHOLE_REFUSALS: Final = {
    (401, "Invalid operator token"): AnswerKind.TOKEN_REFUSED,
    (500, "balance overflow"): AnswerKind.CREDIT_REFUSED,
    (500, "credit amount must be > 0"): AnswerKind.CREDIT_REFUSED,
}
#: Findings after which the run sends nothing more.
STOPS_THE_RUN: Final = frozenset(
    {AnswerKind.TOKEN_REFUSED, AnswerKind.REQUEST_REFUSED, AnswerKind.TOO_MANY_REQUESTS}
)
#: Findings after which the same request would fail again.
NEVER_AGAIN: Final = frozenset({AnswerKind.REQUEST_REFUSED, AnswerKind.CREDIT_REFUSED})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request, and what it proves; amounts in wei."""

    effect: Effect
    kind: AnswerKind
    http_status: int | None = None
    new_balance: int | None = None
    state_root: str | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What may be believed: a reviewed build's refusals, and a gateway's 429."""

    reviewed_build: bool
    early_429: bool


NEVER_SENT: Final = Answer(Effect.NOT_APPLIED, AnswerKind.NEVER_SENT)
NO_ANSWER: Final = Answer(Effect.IN_DOUBT, AnswerKind.NO_ANSWER)


def read_answer(status: int, body: bytes, least: int, trust: Trust) -> Answer:
    """Say what a whole answer proves about a credit that leaves its account with `least` wei, or more.

    A lower balance is that of a state which has lost what was there before the credit: it is in doubt.
    """
    if status == 200:
        return _acknowledgement(body, least) or _unclear(status)
    kind = _refusal(status, body)
    if kind is None:
        return _unclear(status)
    believed = trust.early_429 if kind is AnswerKind.TOO_MANY_REQUESTS else trust.reviewed_build
    return Answer(Effect.NOT_APPLIED if believed else Effect.IN_DOUBT, kind, status)


def _unclear(status: int) -> Answer:
    return Answer(Effect.IN_DOUBT, AnswerKind.UNCLEAR_ANSWER, status)


def _acknowledgement(body: bytes, least: int) -> Answer | None:
    try:
        told: Any = orjson.loads(body)
        new_balance = parse_wei(told["new_balance_wei"])
        root = told["state_root"]
        acknowledged = told["success"] is True and new_balance >= least and bool(_ROOT.fullmatch(root))
    except (orjson.JSONDecodeError, InvalidAmount, KeyError, TypeError):
        return None
    if not acknowledged:
        return None
    return Answer(Effect.APPLIED, AnswerKind.ACKNOWLEDGED, 200, new_balance, root)


def _refusal(status: int, body: bytes) -> AnswerKind | None:
    told = body.decode(errors="replace").strip()
    for refusing_status, openings, kind in _REFUSALS:
        if status == refusing_status and told.startswith(openings):
            return kind
    return _WHOLE_REFUSALS.get((status, told))
