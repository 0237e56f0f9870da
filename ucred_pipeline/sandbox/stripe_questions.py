"""The parameters of a request to Stripe, and what Stripe says of wrong ones."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from ucred_pipeline.sandbox.shelf import Page, Span

_ITEM: Final = re.compile(r"(?P<name>[a-z_]+)\[[0-9]*\]")
_BOUND: Final = re.compile(r"created\[(?P<bound>gt|gte|lt|lte)\]")
_LISTED: Final = frozenset({"expand", "types"})
PAGING: Final = frozenset({"limit", "starting_after", "ending_before", "expand", "created"})


@dataclass(frozen=True)
class StripeError(Exception):
    """An answer that is an error, in Stripe's words."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"

    def shape(self) -> dict[str, Any]:
        """The body of the answer."""
        error: dict[str, Any] = {"message": self.message, "type": self.type}
        if self.code is not None:
            page = self.code.replace("_", "-")
            error |= {"code": self.code, "doc_url": f"https://stripe.com/docs/error-codes/{page}"}
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


@dataclass(frozen=True, slots=True)
class Question:
    """A request's parameters by name; bounds of `created` and lists are gathered."""

    texts: Mapping[str, str]
    lists: Mapping[str, Sequence[str]]
    bounds: Mapping[str, int]

    def expansions(self, allowed: Collection[str]) -> frozenset[str]:
        """What is to be expanded; 400 for what cannot be."""
        asked = self.lists.get("expand", ())
        for path in asked:
            if path not in allowed:
                raise StripeError(400, f"This property cannot be expanded ({path}).", param="expand")
        return frozenset(asked)

    def page(self) -> Page:
        """Which rows are asked for."""
        if "starting_after" in self.texts and "ending_before" in self.texts:
            message = "You can only specify one of these parameters: starting_after, ending_before."
            raise StripeError(400, message)
        return Page(
            limit=_limit(self.texts.get("limit")),
            span=self._span(),
            after=self.texts.get("starting_after"),
            before=self.texts.get("ending_before"),
            owner=self.texts.get("charge") or self.texts.get("payment_intent"),
        )

    def _span(self) -> Span:
        start, end = Span().start, Span().end
        for bound, second in self.bounds.items():
            if bound in {"gt", "gte", "eq"}:
                start = max(start, second + (bound == "gt"))
            if bound in {"lt", "lte", "eq"}:
                end = min(end, second + (bound != "lt"))
        return Span(start, end)


def read_question(query: str, known: Collection[str]) -> Question:
    """Take a query string apart; a parameter that the endpoint does not know is an error."""
    texts: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    bounds: dict[str, int] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        bound = _BOUND.fullmatch(name)
        item = _ITEM.fullmatch(name)
        if bound is not None and "created" in known:
            bounds[bound["bound"]] = _integer(value, name)
        elif item is not None and item["name"] in known and item["name"] in _LISTED:
            lists.setdefault(item["name"], []).append(value)
        elif name == "created" and name in known:
            bounds["eq"] = _integer(value, name)
        elif name in known and name not in _LISTED:
            texts[name] = value
        else:
            raise StripeError(400, f"Received unknown parameter: {name}", "parameter_unknown", name)
    return Question(texts, lists, bounds)


def _integer(value: str, param: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise StripeError(400, f"Invalid integer: {value}", "parameter_invalid_integer", param)
    return int(value)


def _limit(text: str | None) -> int:
    limit = 10 if text is None else _integer(text, "limit")
    if limit < 1:
        message = "This value must be greater than or equal to 1."
        raise StripeError(400, message, "parameter_invalid_integer", "limit")
    if limit > 100:
        message = "This value must be less than or equal to 100."
        raise StripeError(400, message, "parameter_invalid_integer", "limit")
    return limit
