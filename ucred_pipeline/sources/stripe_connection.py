"""A connection to Stripe: the official client, paced and patient, without its objects.

Of the client this keeps authentication, versioning and errors. It goes past its parsing: a page of 100
PaymentIntents takes the client 16 ms to log and parse, and orjson 2; and what it logs holds addresses.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import orjson
import stripe
import yarl

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.retries import Pacer, Patience, Transient, asked_pause
from ucred_pipeline.sources.stripe_objects import SOURCE, Fields
from ucred_pipeline.sources.transport import Transport, shown

#: An upgrade of the client must not move the version of the answers.
STRIPE_VERSION: Final = "2026-10-28.endive"
PAGE_SIZE: Final = 100
#: Stripe counts requests by account; more connections than this gain nothing under its quota.
MOST_WORKERS: Final = 10

_LARGEST_ANSWER: Final = 64 * 2**20
_ADVICE_LATER: Final = (
    "Nothing was decided. Try again later; https://status.stripe.com says whether Stripe is down."
)
_ADVICE_BASE: Final = "Check that STRIPE_API_BASE leads to Stripe's API and to nothing else."
_NAMED_PERMISSION: Final = re.compile(r"rak_[a-z_]+")
_KEY: Final = re.compile(r"[rs]k_(?P<mode>live|test)_[A-Za-z0-9_]+", re.ASCII)
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)


class Endpoint(StrEnum):
    """The endpoints that are read; each has a quota and needs a permission of its own."""

    PAYMENT_INTENTS = "/v1/payment_intents"
    CHARGES = "/v1/charges"
    REFUNDS = "/v1/refunds"
    DISPUTES = "/v1/disputes"
    EVENTS = "/v1/events"


#: What a restricted key needs, as Stripe's answers and as its dashboard name it.
_PERMISSIONS: Final[Mapping[str, str]] = {
    "rak_payment_intent_read": "PaymentIntents: read",
    "rak_charge_read": "Charges and Refunds: read",
    "rak_dispute_read": "Disputes: read",
    "rak_event_read": "Events: read",
}
_NEEDED: Final[Mapping[Endpoint, str]] = {
    Endpoint.PAYMENT_INTENTS: "rak_payment_intent_read",
    Endpoint.CHARGES: "rak_charge_read",
    Endpoint.REFUNDS: "rak_charge_read",
    Endpoint.DISPUTES: "rak_dispute_read",
    Endpoint.EVENTS: "rak_event_read",
}


@dataclass(frozen=True, slots=True)
class StripeAccess:
    """Where Stripe is, and how hard it may be asked; `requests_per_second` is for each endpoint."""

    key: str = field(repr=False)
    base: str = stripe.DEFAULT_API_BASE
    requests_per_second: float = 20.0
    workers: int = MOST_WORKERS
    timeout_s: float = 30.0
    attempts: int = 5
    pause_s: float = 0.5
    clock_skew: timedelta | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers is a number from 1 to {MOST_WORKERS}")

    @property
    def live(self) -> bool:
        """Whether the key is for real money, as its prefix says."""
        known = _KEY.fullmatch(self.key)
        if known is None:
            raise SourceUnreadable(
                SOURCE,
                "STRIPE_API_KEY is not a secret or restricted key",
                "Set STRIPE_API_KEY to a key that begins with sk_live_, rk_live_, sk_test_ or rk_test_.",
            )
        return known["mode"] == "live"

    @property
    def total_per_second(self) -> float:
        """Requests a second over all endpoints: an account takes 100 live, and 25 in a sandbox."""
        return 4 * self.requests_per_second if self.live else self.requests_per_second


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first, and whether there are more."""

    rows: list[Fields]
    more: bool


class PermissionMissing(SourceUnreadable):
    """A restricted key may not read an endpoint; `permissions` names what it lacks."""

    def __init__(self, permissions: Sequence[str]) -> None:
        self.permissions = tuple(permissions)
        names = ", ".join(f"{_PERMISSIONS.get(name, name)} ({name})" for name in permissions)
        super().__init__(
            SOURCE,
            f"the key lacks a permission (HTTP 403): {names}",
            "Add it to the key of STRIPE_API_KEY in Stripe's dashboard, under Developers, API keys.",
        )


class _Parsed(dict[str, str]):
    """The headers of a good answer, which carry its document past the client."""

    def __init__(self, headers: Mapping[str, str], document: object) -> None:
        super().__init__(headers)
        self.document = document


class _Channel(stripe.HTTPClient):
    """The client's way to the network; its own one drops no connection whose body broke off."""

    name = "aiohttp"

    def __init__(self, transport: Transport, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._transport = transport
        self._now = now

    async def request_async(
        self,
        method: str,  # noqa: ARG002 - the client calls by this signature, and here only to read
        url: str,
        headers: Mapping[str, str],
        post_data: object = None,  # noqa: ARG002
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Read one answer; leave to the client only what it must explain."""
        answer = await self._transport.get(yarl.URL(url, encoded=True), headers)
        if answer.status in {408, 409, 429} or answer.status >= 500:
            raise Transient(f"HTTP {answer.status}", asked_pause(answer.headers, self._now()))
        if answer.status != 200:
            return answer.body, answer.status, answer.headers
        try:
            return b"{}", 200, _Parsed(answer.headers, orjson.loads(answer.body))
        except orjson.JSONDecodeError as error:
            raise Transient("an answer that is not JSON, or not whole") from error


def _lead(date: str | None, now: datetime) -> timedelta | None:
    """How far our clock is ahead of the one that wrote a `Date` header; None where there is none."""
    try:
        return now - parsedate_to_datetime(date).astimezone(UTC) if date else None
    except ValueError:
        return None


class StripeConnection:
    """Reads pages and objects of Stripe's, within its quotas, for use within one event loop."""

    def __init__(self, access: StripeAccess, clock: Clock, progress: Callable[[int], None] | None) -> None:
        if yarl.URL(access.base).user is not None or yarl.URL(access.base).password is not None:
            raise _unreadable(
                "STRIPE_API_BASE holds a user or a password", "Set it without: the key is enough."
            )
        self._access = access
        self._clock = clock
        self._lead: timedelta | None = None
        self._live = access.live
        self._progress = progress
        self._rows_read = 0
        # The client asks this switch of its module, not its instances.
        stripe.enable_telemetry = False
        secure = access.base.startswith("https:")
        certificates = stripe.ca_bundle_path if secure else None
        self._transport = Transport(access.timeout_s, _LARGEST_ANSWER, certificates)
        self._client = stripe.StripeClient(
            access.key,
            stripe_version=STRIPE_VERSION,
            base_addresses={"api": access.base.rstrip("/")},
            max_network_retries=0,
            http_client=_Channel(self._transport, clock.now),
        )
        self._patience = Patience(access.attempts, access.pause_s)
        self._under_way = asyncio.Semaphore(access.workers)
        self._total = Pacer(access.total_per_second)
        self._pacers = {endpoint: Pacer(access.requests_per_second) for endpoint in Endpoint}

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def page(self, endpoint: Endpoint, *, after: str | None = None, **filters: object) -> Page:
        """Read one page of a list, behind the row named by `after`."""
        cursor = {} if after is None else {"starting_after": after}
        asked = {"limit": PAGE_SIZE, **filters, **cursor}
        listing = Fields(await self._get(endpoint, endpoint, asked))
        page = Page(listing.list_of_objects("data"), listing.flag("has_more"))
        for row in page.rows:
            self._check_mode(endpoint, row)
        if (page.more and not page.rows) or any(row.id == after for row in page.rows):
            raise _unreadable(f"a walk over {endpoint} does not advance", _ADVICE_BASE)
        self._count(len(page.rows))
        return page

    async def every(self, endpoint: Endpoint, **filters: object) -> AsyncIterator[Fields]:
        """Walk a short list to its end."""
        after, more = None, True
        while more:
            page = await self.page(endpoint, after=after, **filters)
            for row in page.rows:
                yield row
            after, more = (page.rows[-1].id if page.rows else None), page.more

    async def retrieve(self, endpoint: Endpoint, name: str, **options: object) -> Fields | None:
        """Read one object by id; None when Stripe does not know it."""
        if not _SAFE_ID.fullmatch(name):
            return None
        document = await self._get(endpoint, f"{endpoint}/{name}", options)
        if document is None:
            return None
        row = Fields(document)
        self._check_mode(endpoint, row)
        if row.id != name:
            raise _unreadable(f"asked for {name}, another object came", _ADVICE_BASE)
        self._count(1)
        return row

    async def missing_permission(self, endpoint: Endpoint) -> str | None:
        """Try an endpoint, and name the permission that the key lacks for it."""
        expand = ["data.latest_charge"] if endpoint is Endpoint.PAYMENT_INTENTS else []
        try:
            await self.page(endpoint, limit=1, expand=expand)
        except PermissionMissing as refusal:
            return refusal.permissions[0]
        return None

    async def _get(self, endpoint: Endpoint, path: str, params: Mapping[str, Any]) -> object:
        async def once() -> object:
            await self._pacers[endpoint].turn()
            await self._total.turn()
            async with self._under_way:
                return await self._ask(endpoint, path, params)

        try:
            return await self._patience.read(once)
        except Transient as failure:
            raise _unreadable(f"{failure} from {self._place(endpoint)}", _ADVICE_LATER) from failure

    async def _ask(self, endpoint: Endpoint, path: str, params: Mapping[str, Any]) -> object:
        try:
            answer = await self._client.raw_request_async("get", path, **params)
        except Transient as failure:
            self._pacers[endpoint].hold(failure)
            raise
        except stripe.StripeError as error:
            if error.http_status == 404 and error.code == "resource_missing" and path != endpoint:
                return None
            raise self._explained(endpoint, error) from None
        self._lead = _lead(answer.headers.get("Date"), self._clock.now())
        return answer.headers.document

    def refuse_another_time(self) -> None:
        """Refuse to read by a clock that Stripe's contradicts: what was read would be kept as covered."""
        most = self._access.clock_skew
        if most is not None and self._lead is not None and abs(self._lead) > most:
            raise _unreadable(
                f"its clock and ours differ by {abs(self._lead).total_seconds():.0f} s",
                "Nothing was decided. Set the clock of this machine by NTP.",
            )

    def _explained(self, endpoint: Endpoint, error: stripe.StripeError) -> SourceUnreadable:
        # The client's own messages may show parts of the key: none is passed on.
        if error.http_status == 401:
            return _unreadable(
                "the key is refused (HTTP 401): it is wrong, expired or of another account",
                "Set STRIPE_API_KEY to a valid key of this account.",
            )
        if error.http_status == 403:
            named = _NAMED_PERMISSION.search(str(error))
            return PermissionMissing([named[0] if named else _NEEDED[endpoint]])
        details = " ".join(filter(None, (error.code, error.request_id)))
        return _unreadable(
            f"HTTP {error.http_status} from {self._place(endpoint)} {details}".rstrip(), _ADVICE_BASE
        )

    def _place(self, endpoint: Endpoint) -> str:
        return shown(self._access.base.rstrip("/") + endpoint)

    def _check_mode(self, endpoint: Endpoint, row: Fields) -> None:
        # Of these objects refunds alone do not say their mode.
        if endpoint is not Endpoint.REFUNDS and row.flag("livemode") is not self._live:
            mode = "live" if self._live else "test"
            raise _unreadable(
                f"STRIPE_API_KEY is a {mode} key, but {row.id} is of the other mode",
                "Set STRIPE_API_KEY and STRIPE_API_BASE to the same account and mode.",
            )

    def _count(self, rows: int) -> None:
        self._rows_read += rows
        if self._progress is not None:
            self._progress(self._rows_read)


def _unreadable(problem: str, advice: str) -> SourceUnreadable:
    return SourceUnreadable(SOURCE, problem, advice)
