"""Stripe's routes: who may ask, for what, and what is answered."""

import asyncio
import base64
import binascii
import random
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic

import orjson
from aiohttp import web

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.sandbox.faults import Faults
from ucred_pipeline.sandbox.quota import Quota
from ucred_pipeline.sandbox.serving import DateHeader, break_off, error_page, hang
from ucred_pipeline.sandbox.shelf import R, Shelf
from ucred_pipeline.sandbox.stripe_account import EVENTS_LIVE, StripeAccount
from ucred_pipeline.sandbox.stripe_questions import PAGING, Question, StripeError, read_question
from ucred_pipeline.sandbox.stripe_records import Charge, Dispute, Event, Intent, Record, Refund
from ucred_pipeline.sandbox.stripe_shapes import (
    ACCOUNT,
    API_VERSION,
    Shape,
    balance_shape,
    charge_shape,
    dispute_shape,
    event_shape,
    intent_shape,
    list_shape,
    refund_shape,
)

#: The permission of a restricted key that each resource needs.
PERMISSIONS: Final = {
    "payment_intents": "rak_payment_intent_read",
    "charges": "rak_charge_read",
    "refunds": "rak_charge_read",
    "disputes": "rak_dispute_read",
    "events": "rak_event_read",
    "balance": "rak_balance_read",
}
_NO_KEY: Final = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using "
    "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
    "https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/."
)
_LIMITED: Final = "Request rate limit exceeded. You can learn more about rate limits here https://stripe.com/docs/rate-limits."


@dataclass(frozen=True, slots=True)
class _Resource(Generic[R]):
    """One kind of object with its two routes."""

    noun: str
    shelf: Shelf[R]
    shape: Callable[[R, Collection[str]], Shape]
    filters: frozenset[str]
    expandable: frozenset[str]
    id_param: str = "id"


class StripeServer:
    """Answers HTTP for a Stripe account."""

    def __init__(self, account: StripeAccount, clock: Clock, faults: Faults, key: str) -> None:
        self._account = account
        self._clock = clock
        self._faults = faults
        self._key = key
        self._date = DateHeader()
        self._quota = Quota(timedelta(seconds=1))
        self._ids = random.Random(0)
        owners = frozenset({"payment_intent", "charge"})
        self._resources: dict[str, _Resource[Any]] = {
            "payment_intents": _Resource(
                "payment_intent",
                account.intents,
                self._intent,
                frozenset({"customer"}),
                frozenset({"latest_charge", "latest_charge.refunds"}),
                "intent",
            ),
            "charges": _Resource(
                "charge",
                account.charges,
                self._charge,
                frozenset({"payment_intent"}),
                frozenset({"payment_intent", "refunds"}),
            ),
            "refunds": _Resource("refund", account.refunds, self._refund, owners, owners),
            "disputes": _Resource("dispute", account.disputes, self._dispute, owners, owners),
            "events": _Resource("event", account.events, _event, frozenset({"type", "types"}), frozenset()),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        strike = self._faults.strike
        latency = strike("stripe-latency")
        if latency is not None:
            await asyncio.sleep(float(latency))
        status = strike("stripe-error")
        answer = error_page(int(status)) if status is not None else self._answer(request)
        answer.headers["Request-Id"] = "req_" + "".join(self._ids.choices(string.ascii_letters, k=14))
        answer.headers["Date"] = self._date.at(self._clock.now())
        if strike("stripe-truncated") is not None:
            return break_off(request, answer)
        seconds = strike("stripe-hang")
        return answer if seconds is None else await hang(request, answer, float(seconds))

    def _answer(self, request: web.BaseRequest) -> web.Response:
        try:
            shape, headers, status = self._shape(request), {}, 200
        except StripeError as error:
            shape, status = error.shape(), error.status
            headers = {"WWW-Authenticate": 'Basic realm="Stripe"'} if status == 401 else {}
            if status == 429:
                headers = {"Stripe-Rate-Limited-Reason": "global-rate"}
        headers["Stripe-Version"] = request.headers.get("Stripe-Version", API_VERSION)
        body = orjson.dumps(shape)
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    def _shape(self, request: web.BaseRequest) -> Shape:
        self._authenticate(request.headers.get("Authorization", ""))
        limit = self._faults.strike("stripe-rate-limit")
        if limit is not None and self._quota.wait("", int(limit), self._clock.now()):
            raise StripeError(429, _LIMITED, "rate_limit")
        url = request.rel_url
        steps = url.path.removeprefix("/v1/").split("/")
        known = url.path.startswith("/v1/") and steps[0] in PERMISSIONS and len(steps) <= 2
        if request.method != "GET" or not known or (steps[0] == "balance" and len(steps) > 1):
            where = f"({request.method}: {url.path})"
            raise StripeError(404, f"Unrecognized request URL {where}. Please see https://stripe.com/docs.")
        self._permit(steps[0])
        if steps[0] == "balance":
            read_question(url.raw_query_string, ("expand",))
            return balance_shape()
        resource = self._resources[steps[0]]
        with self._account.lock:
            if len(steps) == 2:
                return self._one(resource, steps[1], url.raw_query_string)
            return self._list(resource, f"/v1/{steps[0]}", url.raw_query_string)

    def _authenticate(self, header: str) -> None:
        key = _key_in(header)
        if not key:
            raise StripeError(401, _NO_KEY)
        if key != self._key or self._faults.strike("stripe-unauthorized") is not None:
            raise StripeError(401, f"Invalid API Key provided: {_masked(key)}")

    def _permit(self, resource: str) -> None:
        if resource not in self._faults.values("stripe-forbid"):
            return
        message = (
            f"The provided key '{self._key[:8]}***' does not have the required permissions for this endpoint "
            f"on account '{ACCOUNT}'. Having the '{PERMISSIONS[resource]}' permission would allow this "
            "request to continue."
        )
        raise StripeError(403, message, "more_permissions_required")

    def _one(self, resource: _Resource[R], record_id: str, query: str) -> Shape:
        expand = read_question(query, ("expand",)).expansions(resource.expandable)
        record = resource.shelf.get(record_id)
        if record is None or not self._visible(record):
            message = f"No such {resource.noun}: '{record_id}'"
            raise StripeError(404, message, "resource_missing", resource.id_param)
        return resource.shape(record, expand)

    def _list(self, resource: _Resource[R], url: str, query: str) -> Shape:
        question = read_question(query, PAGING | resource.filters)
        allowed = [f"data.{path}" for path in resource.expandable]
        expand = [path.removeprefix("data.") for path in question.expansions(allowed)]
        page = question.page()
        for param, cursor in (("starting_after", page.after), ("ending_before", page.before)):
            if cursor is not None and resource.shelf.get(cursor) is None:
                message = f"No such {resource.noun}: '{cursor}'"
                raise StripeError(400, message, "resource_missing", param)
        rows, has_more = resource.shelf.page(page, self._wanted(question))
        return list_shape(url, [resource.shape(row, expand) for row in rows], has_more=has_more)

    def _events_now(self) -> range:
        """The seconds whose events are there to be read."""
        now = self._clock.now()
        late = self._faults.strike("stripe-late-events")
        newest = now - timedelta(seconds=float(late or 0))
        return range(int((now - EVENTS_LIVE).timestamp()), int(newest.timestamp()) + 1)

    def _visible(self, record: Record) -> bool:
        return not isinstance(record, Event) or record.created in self._events_now()

    def _wanted(self, question: Question) -> Callable[[Record], bool]:
        types, intent = [*question.lists.get("types", ())], question.texts.get("payment_intent")
        if len(types) > 20:
            raise StripeError(400, "You may only specify up to 20 event types.", param="types")
        if "type" in question.texts:
            types.append(question.texts["type"])
        # No payment here has a customer.
        anybody, live = "customer" not in question.texts, self._events_now()

        def wanted(record: Record) -> bool:
            if isinstance(record, Event):
                return record.created in live and _is_one_of(record.type, types)
            return anybody if isinstance(record, Intent) else intent in {None, record.intent}

        return wanted

    def _intent(self, intent: Intent, expand: Collection[str]) -> Shape:
        shape = intent_shape(intent)
        if intent.charge is not None and expand:
            shape["latest_charge"] = self._charge_by_id(
                intent.charge, ("refunds",) if "latest_charge.refunds" in expand else ()
            )
        return shape

    def _charge_by_id(self, charge_id: str, expand: Collection[str]) -> Shape | None:
        charge = self._account.charges.get(charge_id)
        return None if charge is None else self._charge(charge, expand)

    def _charge(self, charge: Charge, expand: Collection[str]) -> Shape:
        shape = charge_shape(charge)
        if "payment_intent" in expand:
            shape["payment_intent"] = intent_shape(self._account.intent(charge.intent))
        if "refunds" in expand:
            rows = [refund_shape(refund) for refund in self._account.refunds.owned_by(charge.id)]
            shape["refunds"] = list_shape(f"/v1/charges/{charge.id}/refunds", rows, has_more=False)
        return shape

    def _refund(self, refund: Refund, expand: Collection[str]) -> Shape:
        return self._with_owners(refund_shape(refund), expand)

    def _dispute(self, dispute: Dispute, expand: Collection[str]) -> Shape:
        return self._with_owners(dispute_shape(dispute), expand)

    def _with_owners(self, shape: Shape, expand: Collection[str]) -> Shape:
        if "charge" in expand:
            shape["charge"] = self._charge_by_id(shape["charge"], ())
        if "payment_intent" in expand:
            shape["payment_intent"] = intent_shape(self._account.intent(shape["payment_intent"]))
        return shape


def _event(event: Event, _: Collection[str]) -> Shape:
    return event_shape(event)


def _is_one_of(kind: str, types: Collection[str]) -> bool:
    if not types or kind in types or "*" in types:
        return True
    return any(wanted.endswith(".*") and kind.startswith(wanted[:-1]) for wanted in types)


def _key_in(header: str) -> str:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _masked(key: str) -> str:
    return key[:8] + "*" * max(0, len(key) - 12) + key[-4:] if len(key) > 12 else "*" * len(key)
