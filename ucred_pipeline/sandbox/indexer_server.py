"""The indexer's routes, and what may go wrong on the way to them."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.state_root import ASSETS
from ucred_pipeline.sandbox.faults import Faults
from ucred_pipeline.sandbox.indexer import CreditRefused, Indexer
from ucred_pipeline.sandbox.operator_request import OperatorRequest, Rejected, parse_amount, read_request
from ucred_pipeline.sandbox.quota import Quota
from ucred_pipeline.sandbox.serving import DateHeader, break_off, drop, error_page

VERSION: Final = "0.1.0"
_MINUTE: Final = timedelta(minutes=1)
_METHODS: Final = {
    "/health": "GET",
    "/assets": "GET",
    "/balances": "GET",
    "/audit": "GET",
    "/admin/credit": "POST",
}
_ASSETS: Final = orjson.dumps(
    [{"symbol": symbol, "decimals": 18, "policy_uri": uri} for symbol, uri in sorted(ASSETS.items())]
)


class _BadQuery(Exception):
    """The query does not name an account, as axum's extractor sees it."""


def account_in(query: str) -> str:
    """Read `account` from a query as a form is read: `+` is a space, and the rest percent-encoded."""
    found = [
        value for name, _, value in (pair.partition("=") for pair in query.split("&")) if name == "account"
    ]
    if not found:
        raise _BadQuery("missing field `account`")
    if len(found) > 1:
        raise _BadQuery("duplicate field `account`")
    # A form's decoder never fails: what is no UTF-8 becomes a replacement character.
    return unquote_to_bytes(found[0].replace("+", " ")).decode(errors="replace")


class IndexerServer:
    """Answers HTTP for an indexer."""

    def __init__(self, indexer: Indexer, clock: Clock, faults: Faults) -> None:
        self._indexer = indexer
        self._clock = clock
        self._faults = faults
        self._date = DateHeader()
        self._addresses = Quota(_MINUTE)
        self._tokens = Quota(_MINUTE)
        # Nothing else can hold a reader up, so that the bulk of reads stays quick.
        self._reads = {"/health": self._health, "/assets": lambda _: _ASSETS, "/audit": self._audit}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        latency = self._faults.strike("indexer-latency")
        if latency is not None:
            await asyncio.sleep(float(latency))
        if self._indexer.panicked:
            return drop(request)
        answer = await self._routed(request)
        answer.headers.setdefault("Date", self._date.at(self._now()))
        return answer

    def _now(self) -> datetime:
        now = self._clock.now()
        skew = self._faults.strike("indexer-clock-skew")
        return now if skew is None else now + timedelta(seconds=float(skew))

    async def _routed(self, request: web.BaseRequest) -> web.StreamResponse:
        url = request.rel_url
        path = url.raw_path
        method = _METHODS.get(path)
        if method is None:
            return web.Response(status=404)
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            return web.Response(status=405, headers={"Allow": method if method == "POST" else "GET,HEAD"})
        wait = self._limited("indexer-rate-limit", self._addresses, request.remote or "")
        if wait is not None:
            return wait
        if method == "POST":
            return await self._credit(request)
        return self._read_fault(request) or self._read(path, url.raw_query_string)

    def _limited(self, fault: str, quota: Quota, caller: str) -> web.Response | None:
        limit = self._faults.strike(fault)
        seconds = 0 if limit is None else quota.wait(caller, int(limit), self._clock.now())
        if not seconds:
            return None
        return web.Response(status=429, text="Too Many Requests", headers={"Retry-After": str(seconds)})

    def _read(self, path: str, query: str) -> web.Response:
        if path != "/balances":
            return _json(self._reads[path](query))
        try:
            held = self._indexer.balances(account_in(query))
        except _BadQuery as error:
            return web.Response(status=400, text=f"Failed to deserialize query string: {error}")
        return _json(_balances(held))

    def _read_fault(self, request: web.BaseRequest) -> web.Response | None:
        strike = self._faults.strike
        status = strike("indexer-read-error")
        if status is not None:
            return error_page(int(status))
        if strike("indexer-read-drop") is not None:
            return drop(request)
        if strike("indexer-read-truncated") is not None:
            return break_off(request, self._read(request.rel_url.raw_path, request.rel_url.raw_query_string))
        return error_page(200) if strike("indexer-read-foreign") is not None else None

    def _health(self, _: str) -> bytes:
        version = self._faults.strike("indexer-build") or VERSION
        return orjson.dumps({"status": "healthy", "service": "rust-l1-indexer", "version": version})

    def _audit(self, _: str) -> bytes:
        return orjson.dumps({"state_root": self._indexer.root(), "height": 0})

    async def _credit(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        try:
            asked = read_request(request.headers.get("Content-Type", ""), body)
        except Rejected as refusal:
            return self._before(request, None) or web.Response(status=refusal.status, text=refusal.text)
        limited = self._limited("indexer-admin-limit", self._tokens, asked.operator_token)
        if limited is not None:
            return limited
        hindered = self._before(request, asked.account)
        if hindered is not None:
            return hindered
        answer = self._decide(asked)
        return answer if answer.status != 200 else await self._after(request, asked.account, answer)

    def _before(self, request: web.BaseRequest, account: str | None) -> web.Response | None:
        strike = self._faults.strike
        if strike("indexer-panic", account) is not None:
            self._indexer.panicked = True
            return drop(request)
        if strike("indexer-drop-before", account) is not None:
            return drop(request)
        status = strike("indexer-error-before", account)
        if status is not None:
            return error_page(int(status))
        return error_page(200) if strike("indexer-foreign", account) is not None else None

    def _decide(self, asked: OperatorRequest) -> web.Response:
        if not self._indexer.accepts(asked.operator_token):
            self._indexer.refuse_token(self._clock.now())
            return web.Response(status=401, text="Invalid operator token")
        try:
            amount = parse_amount(asked.amount_wei)
        except ValueError as error:
            return web.Response(status=400, text=f"Invalid amount: {error}")
        try:
            receipt = self._indexer.credit(asked.asset, asked.account, amount, asked.memo)
        except CreditRefused as error:
            return web.Response(status=500, text=str(error))
        told = {"new_balance_wei": str(receipt.new_balance_wei), "state_root": receipt.state_root}
        return _json(orjson.dumps({"success": True, **told}))

    async def _after(
        self, request: web.BaseRequest, account: str, answer: web.Response
    ) -> web.StreamResponse:
        strike = self._faults.strike
        seconds = strike("indexer-slow-answer", account)
        if seconds is not None:
            await asyncio.sleep(float(seconds))
        if strike("indexer-drop-after", account) is not None:
            return drop(request)
        status = strike("indexer-error-after", account)
        if status is not None:
            return error_page(int(status))
        if strike("indexer-truncated", account) is not None:
            return break_off(request, answer)
        return error_page(200) if strike("indexer-foreign-after", account) is not None else answer


def _balances(held: Mapping[str, int]) -> bytes:
    # Written by hand: this is asked a hundred thousand times, and an asset may be any text.
    rows = [
        b'{"asset":%b,"balance_wei":"%d"}' % (orjson.dumps(asset), wei) for asset, wei in sorted(held.items())
    ]
    return b"[%b]" % b",".join(rows)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
