"""The body of `POST /admin/credit`, taken apart as axum's JSON extractor and Rust's parsers do."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ucred_pipeline.domain.money import MAX_WEI

_FIELDS: Final = ("asset", "account", "amount_wei", "memo", "operator_token")
_JSON_TYPE: Final = re.compile(r"application/(?:[^;]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\+?[0-9]+", re.ASCII)
_NAMES: Final = {bool: "boolean", int: "integer", float: "floating point", list: "sequence", dict: "map"}


@dataclass(frozen=True)
class Rejected(Exception):
    """The extractor's refusal, in plain text."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """A credit as an operator asks for it; the amount is still text."""

    asset: str
    account: str
    amount_wei: str
    memo: str
    operator_token: str


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with its fields in order, doubles included."""


def read_request(content_type: str, body: bytes) -> OperatorRequest:
    """Read the body, or refuse it with 415, 400, or 422."""
    if not _JSON_TYPE.fullmatch(content_type):
        raise Rejected(415, "Expected request with `Content-Type: application/json`")
    try:
        document = json.loads(body.decode(), object_pairs_hook=_Pairs, parse_constant=_not_json)
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno} column {error.colno}"
        what = "EOF while parsing a value" if not body[error.pos :].strip() else "expected value"
        raise Rejected(400, f"Failed to parse the request body as JSON: {what} {where}") from error
    except ValueError as error:
        text = "Failed to parse the request body as JSON: invalid unicode code point at line 1 column 1"
        raise Rejected(400, text) from error
    return _request_of(document)


def _not_json(constant: str) -> None:
    raise json.JSONDecodeError(f"{constant} is not JSON", constant, 0)


def _request_of(document: object) -> OperatorRequest:
    if not isinstance(document, _Pairs):
        raise _mismatch(f"invalid type: {_name_of(document)}, expected struct AdminCreditRequest")
    return OperatorRequest(*_texts(document))


def _texts(pairs: Sequence[tuple[str, Any]]) -> list[str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in _FIELDS:
            continue
        if name in fields:
            raise _mismatch(f"duplicate field `{name}`")
        if not isinstance(value, str):
            raise _mismatch(f"{name}: invalid type: {_name_of(value)}, expected a string")
        fields[name] = value
    for name in _FIELDS:
        if name not in fields:
            raise _mismatch(f"missing field `{name}`")
    return [fields[name] for name in _FIELDS]


def _name_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, _Pairs):
        return "map"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, str):
        return f'string "{value}"'
    name = _NAMES[type(value)]
    return f"{name} `{value}`" if isinstance(value, int | float) else name


def _mismatch(what: str) -> Rejected:
    text = f"Failed to deserialize the JSON body into the target type: {what} at line 1 column 1"
    return Rejected(422, text)


def parse_amount(text: str) -> int:
    """Read an amount as `u128::from_str` does; ValueError carries Rust's words."""
    if not text:
        raise ValueError("cannot parse integer from empty string")
    if not _DIGITS.fullmatch(text):
        raise ValueError("invalid digit found in string")
    # Python refuses to read thousands of digits at once, and 39 are enough here.
    significant = text.lstrip("+").lstrip("0") or "0"
    if len(significant) > 39 or int(significant) > MAX_WEI:
        raise ValueError("number too large to fit in target type")
    return int(significant)
