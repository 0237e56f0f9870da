"""The indexer as a sender meets it: one connection for the reads before a credit and for the credit.

What the answers prove is decided in `domain.answers`; here a request leaves once, whole, and
nothing is ever sent again. No retries, no redirects, no proxy from the environment.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx
import orjson

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.corrections import Credit
from ucred_pipeline.domain.evidence import Build
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.money import InvalidAmount, parse_wei
from ucred_pipeline.domain.state_root import UCRED

#: What a request to prove the token asks for: it is refused before it could have an effect.
_NO_AMOUNT: Final = "x"

# httpx tells every URL at INFO, and that of a balance has a customer's address in it.
logging.getLogger("httpx").setLevel(logging.WARNING)


class IndexerUnreachable(Exception):
    """The indexer could not be asked before anything was sent; the message names no secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of the indexer."""

    status: int
    body: bytes


class NeverLeft(Exception):
    """The request cannot have reached the indexer."""


class NoReply(Exception):
    """The request may have reached the indexer, and no whole answer came back."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the indexer says of itself: its build, its root, and its clock against ours."""

    build: Build
    root: str
    began: datetime
    server_date: datetime | None


class IndexerConnection(Protocol):
    """One connection to the indexer."""

    async def look(self) -> Sight:
        """Read health and audit; raise IndexerUnreachable."""
        ...

    async def balance(self, account: str) -> int:
        """Read an account's UCRED in wei; raise IndexerUnreachable."""
        ...

    async def probe_token(self) -> Reply:
        """Ask for a credit that is refused before it could have an effect; raise IndexerUnreachable."""
        ...

    async def credit(self, credit: Credit, idempotency_key: str) -> Reply:
        """Send one credit, once; raise NeverLeft or NoReply."""
        ...


class IndexerDoor(Protocol):
    """Opens connections to the indexer."""

    def open(self) -> Any:
        """Give an asynchronous context manager of an IndexerConnection."""
        ...


def idempotency_key(payment_intent: str, kind: CorrectionKind) -> str:
    """Name purchase and kind, not the epoch; today's indexer does not read it, a later one may."""
    return sha256(orjson.dumps([payment_intent, kind])).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class HttpIndexerDoor:
    """Opens HTTP connections; time-outs in seconds. The token stays out of every text."""

    address: str
    token: str
    read_timeout_s: float
    credit_timeout_s: float
    clock: Clock

    def __repr__(self) -> str:
        return f"HttpIndexerDoor({self.address!r})"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["HttpIndexerConnection"]:
        """Open one connection, which is not shared and not replaced."""
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        transport = httpx.AsyncHTTPTransport(
            verify=_certificates(), retries=0, limits=limits, trust_env=False
        )
        async with httpx.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=self.read_timeout_s
        ) as client:
            yield HttpIndexerConnection(self, client)


class HttpIndexerConnection:
    """One HTTP connection to the indexer."""

    def __init__(self, door: HttpIndexerDoor, client: httpx.AsyncClient) -> None:
        self._door = door
        self._client = client

    async def look(self) -> Sight:
        """Read health and audit."""
        health, _ = await self._read("/health")
        began = self._door.clock.now()
        audit, date = await self._read("/audit")
        try:
            build = Build(str(health["service"]), str(health["version"]))
            return Sight(build, str(audit["state_root"]), began, _parsed(date))
        except (KeyError, TypeError) as error:
            raise IndexerUnreachable("the indexer's /health or /audit is not as expected") from error

    async def balance(self, account: str) -> int:
        """Read an account's UCRED in wei; an account that was never seen holds 0."""
        told, _ = await self._read(f"/balances?account={quote(account, safe='')}")
        try:
            held = [parse_wei(entry["balance_wei"]) for entry in told if entry["asset"] == UCRED]
        except (InvalidAmount, KeyError, TypeError) as error:
            raise IndexerUnreachable("the indexer's /balances is not as expected") from error
        if len(held) > 1:
            raise IndexerUnreachable("the indexer's /balances names UCRED twice")
        return held[0] if held else 0

    async def probe_token(self) -> Reply:
        """Send an amount that does not parse: 400 proves the token, 401 refuses it."""
        try:
            return await self._post("acct:recon:probe", _NO_AMOUNT, "probe", {}, {})
        except (NeverLeft, NoReply) as error:
            raise IndexerUnreachable("the indexer did not answer the probe of the token") from error

    async def credit(self, credit: Credit, idempotency_key: str) -> Reply:
        """Send one credit, once, on the connection that was looked at."""
        key, watched = {"Idempotency-Key": idempotency_key}, {"trace": _open_no_other}
        return await self._post(credit.account, str(credit.amount), credit.memo, key, watched)

    async def _read(self, path: str) -> tuple[Any, str | None]:
        try:
            answer = await self._client.get(self._door.address + path)
            if answer.status_code == httpx.codes.OK:
                return orjson.loads(answer.content), answer.headers.get("date")
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            place = path.partition("?")[0]
            raise IndexerUnreachable(f"the indexer's {place}: {type(error).__name__}") from None
        raise IndexerUnreachable(f"the indexer's {path.partition('?')[0]} answered {answer.status_code}")

    async def _post(
        self, account: str, amount: str, memo: str, headers: Mapping[str, str], watched: dict[str, Any]
    ) -> Reply:
        told = {"asset": UCRED, "account": account, "amount_wei": amount, "memo": memo}
        body = orjson.dumps(told | {"operator_token": self._door.token})
        timeout = httpx.Timeout(self._door.credit_timeout_s, connect=self._door.read_timeout_s)
        try:
            async with asyncio.timeout(self._door.read_timeout_s + self._door.credit_timeout_s):
                answer = await self._client.post(
                    f"{self._door.address}/admin/credit",
                    content=body,
                    headers={"Content-Type": "application/json", **headers},
                    timeout=timeout,
                    extensions=watched,
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NeverLeft(type(error).__name__) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise NoReply(type(error).__name__) from None
        return Reply(answer.status_code, answer.content)


async def _open_no_other(event: str, _: Mapping[str, Any]) -> None:
    """Let nothing leave on another connection than the one that was looked at: another build may answer.

    httpcore tells what it is about to do, and opens a connection anew where the old one was closed.
    """
    if event.startswith("connection."):
        raise NeverLeft("the connection that was looked at is closed")


@cache
def _certificates() -> ssl.SSLContext:
    """Load the certificates once: it takes longer than a credit."""
    return ssl.create_default_context()


def _parsed(date: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(date).astimezone(UTC) if date else None
    except ValueError:
        return None
