"""Reads the indexer: which build answers, its state root, and balances by the thousand.

Over aiohttp: see `transport` for why. Accounts go byte for byte, percent-encoded by us and by nobody
after us, because `+`, `&` and `%` in an address would name another account, which reads as no UCRED.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import orjson
import yarl

from ucred_pipeline.domain.clock import Clock, SystemClock
from ucred_pipeline.domain.evidence import BalanceReading, Build
from ucred_pipeline.domain.money import InvalidAmount, parse_wei
from ucred_pipeline.domain.state_root import UCRED
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.pool import drain
from ucred_pipeline.sources.retries import Pacer, Patience, Transient, Unreachable, asked_pause
from ucred_pipeline.sources.transport import Answer, Transport, shown

SOURCE: Final = "indexer"

#: A Date is whole seconds; what is within this is the same time.
_CLOCKS_AGREE: Final = timedelta(seconds=5)
_LARGEST_ANSWER: Final = 2**20
_ROOT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEADERS: Final[Mapping[str, str]] = {"Accept": "application/json", "Accept-Encoding": "identity"}
_ADVICE_UP: Final = "Nothing was decided. Start the indexer, or set RUST_L1_INDEXER to where it listens."
_ADVICE_KIND: Final = "Nothing was decided. Check that RUST_L1_INDEXER leads to the indexer itself."


@dataclass(frozen=True, slots=True)
class IndexerAccess:
    """Where the indexer is, and how hard it may be asked."""

    base_url: str
    requests_per_minute: float | None = None
    connections: int = 32
    timeout_s: float = 10.0
    attempts: int = 4
    pause_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Audit:
    """The indexer's state root; `began` is our clock before the read, `server_date` the indexer's own."""

    state_root: str
    height: int
    began: datetime
    server_date: datetime | None


@dataclass(frozen=True, slots=True)
class BalancesRead:
    """Balances in the order asked for, between two reads of the root."""

    readings: list[BalanceReading]
    before: Audit
    after: Audit

    @property
    def root_before(self) -> str:
        """The state root before the first balance was read."""
        return self.before.state_root

    @property
    def root_after(self) -> str:
        """The state root after the last balance was read."""
        return self.after.state_root


class IndexerSource:
    """The indexer, read whole or not at all; to be entered within the event loop that uses it."""

    _transport: Transport

    def __init__(self, access: IndexerAccess, clock: Clock | None = None) -> None:
        self._access = access
        self._clock = clock or SystemClock()
        self._base = access.base_url.rstrip("/")
        self._patience = Patience(access.attempts, access.pause_s)
        rate = access.requests_per_minute
        self._pacer = Pacer(None if rate is None else rate / 60)

    async def __aenter__(self) -> Self:
        self._transport = Transport(self._access.timeout_s, _LARGEST_ANSWER)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    async def health(self) -> Build:
        """Read which build answers; one that does not call itself healthy is not read."""
        reply = await self._read("/health")
        if reply.text("status") != "healthy":
            raise _unreadable(
                "/health does not say healthy", "Nothing was decided. Look at the indexer's log."
            )
        return Build(reply.text("service"), reply.text("version"))

    async def audit(self) -> Audit:
        """Read the state root."""
        reply = await self._read("/audit")
        root = reply.text("state_root")
        if not _ROOT.fullmatch(root):
            raise reply.malformed("state_root is not 64 hexadecimal digits")
        return Audit(root, reply.whole("height"), reply.began, reply.server_date)

    async def balances(
        self, accounts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> BalancesRead:
        """Read each account's UCRED balance; a reading has a root when the root stood still meanwhile."""
        seen: dict[str, tuple[int, datetime]] = {}

        async def read(account: str) -> None:
            reply = await self._read(f"/balances?account={quote(account, safe='')}")
            seen[account] = reply.ucred(), reply.began
            if progress is not None:
                progress(len(seen))

        before = await self.audit()
        await drain(dict.fromkeys(accounts), read, self._access.connections)
        after = await self.audit()
        root = before.state_root if before.state_root == after.state_root else None
        readings = [BalanceReading(account, *seen[account], root) for account in accounts]
        return BalancesRead(readings, before, after)

    async def _read(self, path: str) -> "_Reply":
        url = yarl.URL(self._base + path, encoded=True)
        place = shown(self._base) + path.partition("?")[0]

        async def once() -> _Reply:
            await self._pacer.turn()
            try:
                return await self._ask(url, place)
            except Unreachable as failure:
                raise _unreadable(f"{failure} to {place}", _ADVICE_UP) from failure
            except Transient as failure:
                self._pacer.hold(failure)
                raise

        try:
            return await self._patience.read(once)
        except Transient as failure:
            raise _unreadable(f"{failure} from {place}", _ADVICE_UP) from failure

    async def _ask(self, url: yarl.URL, place: str) -> "_Reply":
        began = self._clock.now()
        answer = await self._transport.get(url, _HEADERS)
        if answer.status in {408, 429} or answer.status >= 500:
            raise Transient(f"HTTP {answer.status}", asked_pause(answer.headers, self._clock.now()))
        if answer.status != 200 or "html" in answer.headers.get("Content-Type", ""):
            raise _unreadable(
                f"HTTP {answer.status} from {place} is no answer of the indexer's", _ADVICE_KIND
            )
        try:
            date = _date(answer)
            return _Reply(place, orjson.loads(answer.body), as_of(began, date), date)
        except orjson.JSONDecodeError as error:
            raise Transient("an answer that is not JSON, or not whole") from error


@dataclass(frozen=True, slots=True)
class _Reply:
    """A whole JSON answer, read strictly; `began` is the time before the request, see `as_of`."""

    place: str
    document: object
    began: datetime
    server_date: datetime | None

    def text(self, field: str) -> str:
        """Read a string."""
        value = self._field(field)
        if not isinstance(value, str):
            raise self.malformed(f"{field} is not a string")
        return value

    def whole(self, field: str) -> int:
        """Read a whole number that is not negative."""
        value = self._field(field)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.malformed(f"{field} is not a whole number")
        return value

    def ucred(self) -> int:
        """Read the UCRED of a list of balances: 0 where it is not listed, refused where it is twice."""
        if not isinstance(self.document, list):
            raise self.malformed("it is not a list")
        held = [wei for asset, wei in map(self._balance, self.document) if asset == UCRED]
        if len(held) > 1:
            raise self.malformed(f"{UCRED} is listed {len(held)} times")
        return held[0] if held else 0

    def malformed(self, what: str) -> SourceUnreadable:
        """Say what of the answer is not as the indexer writes it."""
        return _unreadable(f"the answer of {self.place} is malformed: {what}", _ADVICE_KIND)

    def _field(self, field: str) -> object:
        return self.document.get(field) if isinstance(self.document, dict) else None

    def _balance(self, entry: object) -> tuple[str, int]:
        if not isinstance(entry, dict) or not isinstance(entry.get("asset"), str):
            raise self.malformed("an entry names no asset")
        try:
            return entry["asset"], parse_wei(entry.get("balance_wei"))
        except InvalidAmount as error:
            raise self.malformed("balance_wei is not an unsigned 128-bit integer in a string") from error


def as_of(began: datetime, server_date: datetime | None) -> datetime:
    """When a read surely had not begun yet: by our clock, or by the indexer's where ours runs ahead of it.

    Absence counts by this time, so a clock that is ahead must not make it come early.
    """
    ahead = server_date is not None and began - server_date > _CLOCKS_AGREE
    return server_date if ahead and server_date else began


def _date(answer: Answer) -> datetime | None:
    try:
        date = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return None
    return date if date.tzinfo is not None else None


def _unreadable(problem: str, advice: str) -> SourceUnreadable:
    return SourceUnreadable(SOURCE, problem, advice)
