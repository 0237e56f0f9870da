"""A small Stripe: lists, filters, cursors and retrieval, with faults put in front of them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ucred_pipeline_tests.sources.loopback import Handler

Row = dict[str, Any]
KEY = "rk_test_aVerySecretKey"
NOON = 1_767_960_000  # 2026-01-09 12:00 UTC


def intent(name: str, created: int = NOON, **changes: object) -> Row:
    """Make a PaymentIntent that was paid, with its charge."""
    charge = {
        "id": f"ch_{name}",
        "object": "charge",
        "created": created + 1,
        "livemode": False,
        "amount_refunded": 0,
        "refunded": False,
        "disputed": False,
        "payment_intent": f"pi_{name}",
    }
    row = {
        "id": f"pi_{name}",
        "object": "payment_intent",
        "created": created,
        "livemode": False,
        "status": "succeeded",
        "currency": "usd",
        "amount": 3500,
        "amount_received": 3500,
        "receipt_email": f"{name}@example.com",
        "metadata": {"rarity_tier": "rare"},
        "latest_charge": charge,
    }
    touched = {key: changes.pop(key) for key in ("amount_refunded", "refunded", "disputed") if key in changes}
    return {**row, "latest_charge": {**charge, **touched}, **changes}


def refund(
    name: str, amount: int = 3500, refund_status: str | None = "succeeded", at: int = NOON + 60
) -> Row:
    """Make a refund of the payment of that name."""
    return {
        "id": f"re_{name}_{amount}_{at}_{refund_status}",
        "object": "refund",
        "created": at,
        "amount": amount,
        "status": refund_status,
        "charge": f"ch_{name}",
        "payment_intent": f"pi_{name}",
    }


def dispute(name: str, dispute_status: str, at: int = NOON + 60) -> Row:
    """Make a dispute over the payment of that name."""
    return {
        "id": f"du_{name}_{dispute_status}",
        "object": "dispute",
        "created": at,
        "livemode": False,
        "status": dispute_status,
        "charge": f"ch_{name}",
        "payment_intent": f"pi_{name}",
    }


def event(number: int, kind: str, subject: Row, at: int = NOON) -> Row:
    """Make an event about an object."""
    return {
        "id": f"evt_{number}",
        "object": "event",
        "created": at,
        "livemode": False,
        "type": kind,
        "data": {"object": subject},
    }


def error(code: int, message: str, kind: str | None = None) -> Handler:
    """Answer with an error as Stripe writes it."""

    async def answer(_: web.Request) -> web.StreamResponse:
        body = {"error": {"type": "invalid_request_error", "message": message, "code": kind}}
        return web.json_response(body, status=code, headers={"Request-Id": "req_123"})

    return answer


def forbidden(permission: str) -> Handler:
    """Refuse a restricted key in Stripe's words."""
    return error(
        403,
        "The provided key 'rk_test_*********tKey' does not have the required permissions for this "
        f"endpoint on account 'acct_1'. Having the '{permission}' permission "
        "would allow this request to continue.",
    )


class SmallStripe:
    """An account with its rows; `next_answers` and `instead` put faults in front of them."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {
            kind: [] for kind in ("payment_intents", "charges", "refunds", "disputes", "events")
        }
        self.next_answers: deque[Handler] = deque()
        self.instead: dict[str, Handler] = {}
        self.asked: list[web.Request] = []
        self.latency = 0.0
        self.under_way = self.most_under_way = 0
        self.reading: Callable[[str], None] = lambda _: None

    def add(self, kind: str, *rows: Row) -> None:
        """Put rows into a list."""
        self.rows[kind].extend(rows)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append(request)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await asyncio.sleep(self.latency)
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        _, _, kind, *rest = request.path.split("/")
        if self.next_answers:
            return await self.next_answers.popleft()(request)
        if kind in self.instead:
            return await self.instead[kind](request)
        if request.headers["Authorization"] != f"Bearer {KEY}":
            return await error(401, f"Invalid API Key provided: {KEY}")(request)
        self.reading(kind)
        return await (self._one(kind, rest[0], request) if rest else self._list(kind, request))

    async def _one(self, kind: str, name: str, request: web.Request) -> web.StreamResponse:
        for row in self.rows[kind]:
            if row["id"] == name:
                return web.json_response(row)
        return await error(404, f"No such object: '{name}'", "resource_missing")(request)

    async def _list(self, kind: str, request: web.Request) -> web.StreamResponse:
        query = request.query
        types = {value for key, value in query.items() if key.startswith("types")}
        rows = [
            row
            for row in self.rows[kind]
            if int(query.get("created[gte]", "0"))
            <= row["created"]
            < int(query.get("created[lt]", "99999999999"))
            and row.get("payment_intent") == query.get("payment_intent", row.get("payment_intent"))
            and (not types or row["type"] in types)
        ]
        rows.sort(key=lambda row: (row["created"], row["id"]), reverse=True)
        if "starting_after" in query:
            names = [row["id"] for row in rows]
            rows = rows[names.index(query["starting_after"]) + 1 :]
        limit = int(query.get("limit", "10"))
        return web.json_response(
            {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, "url": request.path}
        )
