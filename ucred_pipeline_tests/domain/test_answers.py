"""What one answer proves: applied only where it is whole and valid, not applied only where that is known."""

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.answers import (
    NEVER_AGAIN,
    NEVER_SENT,
    NO_ANSWER,
    STOPS_THE_RUN,
    AnswerKind,
    Effect,
    Trust,
    read_answer,
)
from ucred_pipeline.domain.money import MAX_WEI, WEI_PER_UCRED

A_UCRED: Final = WEI_PER_UCRED
ROOT: Final = "0f" * 32
REVIEWED: Final = Trust(reviewed_build=True, early_429=False)
UNKNOWN: Final = Trust(reviewed_build=False, early_429=False)
ACKNOWLEDGED: Final = {"success": True, "new_balance_wei": str(A_UCRED), "state_root": ROOT}

#: The refusals of the reviewed build, each as it is sent.
REFUSALS: Final = [
    (401, "Invalid operator token", AnswerKind.TOKEN_REFUSED),
    (400, "Invalid amount: invalid digit found in string", AnswerKind.REQUEST_REFUSED),
    (
        400,
        "Failed to parse the request body as JSON: expected value at line 1 column 1",
        AnswerKind.REQUEST_REFUSED,
    ),
    (415, "Expected request with `Content-Type: application/json`", AnswerKind.REQUEST_REFUSED),
    (
        422,
        "Failed to deserialize the JSON body into the target type: missing field `memo` at line 1",
        AnswerKind.REQUEST_REFUSED,
    ),
    (500, "balance overflow", AnswerKind.CREDIT_REFUSED),
    (500, "credit amount must be > 0", AnswerKind.CREDIT_REFUSED),
]


def body(**changes: Any) -> bytes:
    """Write an acknowledgement, with some parts changed or, as None, left out."""
    told = {name: value for name, value in (ACKNOWLEDGED | changes).items() if value is not None}
    return orjson.dumps(told)


def test_an_acknowledgement_is_applied() -> None:
    """A whole answer of success is a receipt, with the balance and the root."""
    found = read_answer(200, body(new_balance_wei=str(MAX_WEI)), A_UCRED, UNKNOWN)

    assert (found.effect, found.kind) == (Effect.APPLIED, AnswerKind.ACKNOWLEDGED)
    assert (found.new_balance, found.state_root) == (MAX_WEI, ROOT)


@pytest.mark.parametrize(
    "changes",
    [
        {"success": None},
        {"success": False},
        {"success": "true"},
        {"success": 1},
        {"new_balance_wei": None},
        {"new_balance_wei": A_UCRED},
        {"new_balance_wei": str(A_UCRED - 1)},
        {"new_balance_wei": "-1"},
        {"new_balance_wei": "1e18"},
        {"new_balance_wei": "+1000000000000000000"},
        {"new_balance_wei": "1000000000000000000\n"},
        {"new_balance_wei": "１000000000000000000"},  # noqa: RUF001 - a full-width digit
        {"new_balance_wei": str(MAX_WEI + 1)},
        {"new_balance_wei": ""},
        {"state_root": None},
        {"state_root": ROOT[:-1]},
        {"state_root": ROOT + "0"},
        {"state_root": ROOT.upper()},
        {"state_root": ROOT[:-1] + "\n"},
        {"state_root": 7},
        {"state_root": [ROOT]},
    ],
    ids=repr,
)
def test_an_acknowledgement_that_is_not_valid_is_in_doubt(changes: dict[str, Any]) -> None:
    """A 200 of which any part is missing or wrong proves neither the one nor the other."""
    found = read_answer(200, body(**changes), A_UCRED, REVIEWED)

    assert (found.effect, found.kind) == (Effect.IN_DOUBT, AnswerKind.UNCLEAR_ANSWER)


@pytest.mark.parametrize("cut", range(len(body())))
def test_a_truncated_acknowledgement_is_in_doubt(cut: int) -> None:
    """Wherever an answer breaks off, it is no receipt and no refusal."""
    assert read_answer(200, body()[:cut], A_UCRED, REVIEWED).effect is Effect.IN_DOUBT


@pytest.mark.parametrize("status, text, kind", REFUSALS)
def test_a_refusal_of_the_reviewed_build_had_no_effect(status: int, text: str, kind: AnswerKind) -> None:
    """What the build is known to answer before it acts is not applied; of an unknown build it is in doubt."""
    trusted = read_answer(status, text.encode(), A_UCRED, REVIEWED)
    doubted = read_answer(status, text.encode(), A_UCRED, UNKNOWN)

    assert (Effect.NOT_APPLIED, kind, status) == (trusted.effect, trusted.kind, trusted.http_status)
    assert (Effect.IN_DOUBT, kind) == (doubted.effect, doubted.kind)


@pytest.mark.parametrize("early, effect", [(True, Effect.NOT_APPLIED), (False, Effect.IN_DOUBT)])
def test_too_many_requests_is_what_the_settings_say(effect: Effect, *, early: bool) -> None:
    """A 429 had no effect only where the gateway is known to answer before it forwards."""
    found = read_answer(429, b"slow down", A_UCRED, Trust(reviewed_build=True, early_429=early))

    assert (effect, AnswerKind.TOO_MANY_REQUESTS) == (found.effect, found.kind)


@pytest.mark.parametrize(
    "status, text",
    [
        (201, body().decode()),
        (202, body().decode()),
        (204, ""),
        (301, ""),
        (302, "Found"),
        (307, ""),
        (400, "<html>Bad Request</html>"),
        (400, "invalid amount: x"),
        (401, "Unauthorized"),
        (401, "Invalid operator token, says the proxy"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (408, "Request Timeout"),
        (413, "length limit exceeded"),
        (422, "Unprocessable"),
        (500, "Internal Server Error"),
        (500, "balance overflow, perhaps"),
        (500, ""),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (200, "<html>Welcome</html>"),
        (200, "null"),
        (200, "[]"),
        (200, '"success"'),
        (200, ""),
    ],
)
def test_anything_else_is_in_doubt(status: int, text: str) -> None:
    """Time-outs, pages of proxies, redirects and unknown errors may come after the effect."""
    found = read_answer(status, text.encode(), A_UCRED, Trust(reviewed_build=True, early_429=True))

    assert (Effect.IN_DOUBT, AnswerKind.UNCLEAR_ANSWER, status) == (
        found.effect,
        found.kind,
        found.http_status,
    )


def test_what_never_left_had_no_effect() -> None:
    """And what left and had no answer may have had one."""
    assert (NEVER_SENT.effect, NO_ANSWER.effect) == (Effect.NOT_APPLIED, Effect.IN_DOUBT)


def test_what_follows_from_a_finding() -> None:
    """A refused token, a bug of ours and a request to slow down end the run; what is refused stays so."""
    assert (
        frozenset({AnswerKind.TOKEN_REFUSED, AnswerKind.REQUEST_REFUSED, AnswerKind.TOO_MANY_REQUESTS})
        == STOPS_THE_RUN
    )
    assert frozenset({AnswerKind.REQUEST_REFUSED, AnswerKind.CREDIT_REFUSED}) == NEVER_AGAIN


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_parts = st.fixed_dictionaries(
    {},
    optional={
        "success": st.booleans() | _json,
        "new_balance_wei": st.integers(0, 2**129).map(str) | _json,
        "state_root": st.text("0123456789abcdefA", min_size=63, max_size=65) | st.just(ROOT) | _json,
    },
)
_bodies = (
    st.binary(max_size=200)
    | _parts.map(orjson.dumps)
    | st.sampled_from([text.encode() for _, text, _ in REFUSALS])
)
_statuses = st.sampled_from([200, 400, 401, 415, 422, 429, 500]) | st.integers(100, 599)
_trust = st.builds(Trust, reviewed_build=st.booleans(), early_429=st.booleans())


def is_receipt(status: int, raw: bytes, amount: int) -> bool:
    """Whether an answer is whole and valid, said in other words than the program says it."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    if status != 200 or not isinstance(told, dict):
        return False
    balance, root = told.get("new_balance_wei"), told.get("state_root")
    return (
        told.get("success") is True
        and isinstance(balance, str)
        and balance.isascii()
        and balance.isdigit()
        and len(balance) <= 39
        and amount <= int(balance) < 2**128
        and isinstance(root, str)
        and len(root) == 64
        and set(root) <= set("0123456789abcdef")
    )


def is_known_refusal(status: int, raw: bytes, trust: Trust) -> bool:
    """Whether an answer is one of those that come before the effect."""
    if status == 429:
        return trust.early_429
    text = raw.decode(errors="replace").strip()
    listed = any(
        status == known
        and (text == told if status in {401, 500} else text.startswith(told.partition(":")[0]))
        for known, told, _ in REFUSALS
    )
    return listed and trust.reviewed_build


@given(_statuses, _bodies, st.integers(1, 2**128 - 1) | st.just(A_UCRED), _trust)
def test_nothing_else_proves_anything(status: int, raw: bytes, amount: int, trust: Trust) -> None:
    """Whatever comes back, it is applied only as a valid receipt, and not applied only as a known refusal."""
    effect = read_answer(status, raw, amount, trust).effect

    assert is_receipt(status, raw, amount) == (effect is Effect.APPLIED)
    if effect is Effect.NOT_APPLIED:
        assert is_known_refusal(status, raw, trust)
