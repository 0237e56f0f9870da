"""The indexer read over HTTP: whole, byte for byte, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from ucred_pipeline.domain.evidence import BalanceReading, Build
from ucred_pipeline.domain.money import MAX_WEI
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer import BalancesRead, IndexerAccess, IndexerSource, as_of
from ucred_pipeline_tests.sources.loopback import Handler, document, dropped, hung, serving, status, truncated

T = TypeVar("T")
ROOT = "13a441f673cdab318c220e8aac57a06107dc637fcb4bd64d37b6e8b28848a4e7"
OTHER_ROOT = "79cdab209c4609e07bde327a2a0157834391c8fb58e3a44849d153cf845e3863"


class StepClock:
    """A clock that moves on by a second whenever somebody looks."""

    def __init__(self) -> None:
        self._seconds = 0

    def now(self) -> datetime:
        """One second later than the last time."""
        self._seconds += 1
        return datetime(2026, 1, 21, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """No time passes."""
        return 0.0


class SmallIndexer:
    """An indexer with some balances; a request for one of `faults` gets that answer while it lasts."""

    def __init__(self, **balances: int) -> None:
        self.balances: dict[str, int] = balances
        self.roots = [ROOT]
        self.faults: dict[str, list[Handler]] = {}
        self.asked: list[str] = []
        self.under_way = self.most_under_way = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append(str(request.rel_url))
        if faults := self.faults.get(request.path):
            return await faults.pop(0)(request)
        match request.path:
            case "/health":
                return web.json_response(
                    {"status": "healthy", "service": "rust-l1-indexer", "version": "0.1.0"}
                )
            case "/audit":
                root = self.roots.pop(0) if len(self.roots) > 1 else self.roots[0]
                return web.json_response({"state_root": root, "height": 0})
            case _:
                return await self._balance(request.query["account"])

    async def _balance(self, account: str) -> web.StreamResponse:
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        wei = self.balances.get(account)
        rows = [] if wei is None else [{"asset": "UCRED", "balance_wei": str(wei)}]
        return web.json_response([{"asset": "GOLD", "balance_wei": "5"}, *rows])


@asynccontextmanager
async def source_of(indexer: Handler, path: str = "", **changes: object) -> AsyncIterator[IndexerSource]:
    """Open a source over a server."""
    async with serving(indexer) as base:
        access = IndexerAccess(**{"base_url": base + path, "pause_s": 0.001, **changes})  # type: ignore[arg-type]
        async with IndexerSource(access, StepClock()) as source:
            yield source


def reading(
    indexer: Handler, read: Callable[[IndexerSource], Awaitable[T]], path: str = "", /, **changes: object
) -> T:
    """Run one read in a loop of its own."""

    async def run() -> T:
        async with source_of(indexer, path, **changes) as source:
            return await read(source)

    return asyncio.run(run())


def balances_of(indexer: Handler, *accounts: str, **changes: object) -> BalancesRead:
    """Read some balances."""
    return reading(indexer, lambda source: source.balances(accounts), "", **changes)


def test_the_build_is_what_health_says() -> None:
    """Service and version name the build, also behind a path of a gateway."""
    assert reading(SmallIndexer(), lambda source: source.health()) == Build("rust-l1-indexer", "0.1.0")


def test_a_base_with_a_path_and_a_slash_is_kept() -> None:
    """A gateway may serve the indexer below a path of its own."""
    paths: list[str] = []

    async def gateway(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        return web.json_response({"status": "healthy", "service": "s", "version": "v"})

    reading(gateway, lambda source: source.health(), "/l1/")

    assert paths == ["/l1/health"]


def test_an_audit_has_both_clocks() -> None:
    """Our clock is from before the request, the indexer's from its answer."""
    clocked = web.json_response

    async def answer(_: web.Request) -> web.StreamResponse:
        response = clocked({"state_root": ROOT, "height": 7})
        response.headers["Date"] = "Wed, 21 Jan 2026 17:46:00 GMT"
        return response

    audit = reading(answer, lambda source: source.audit())

    assert (audit.state_root, audit.height) == (ROOT, 7)
    assert audit.began == datetime(2026, 1, 21, 0, 0, 1, tzinfo=UTC)
    assert audit.server_date == datetime(2026, 1, 21, 17, 46, tzinfo=UTC)


@pytest.mark.parametrize("date", ["soon", "Wed, 21 Jan 2026 17:46:00 -0000"])
def test_a_date_that_says_nothing_is_none(date: str) -> None:
    """A `Date` that cannot be read does not stop the read."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"state_root": ROOT, "height": 0}, headers={"Date": date})

    assert reading(answer, lambda source: source.audit()).server_date is None


def test_balances_come_in_the_order_asked_for() -> None:
    """An account that was never seen has none; an amount beyond 64 bits is exact."""
    indexer = SmallIndexer(a=1, b=MAX_WEI)

    read = balances_of(indexer, "b", "nobody", "a", "b")

    assert [(each.account, each.wei) for each in read.readings] == [
        ("b", MAX_WEI),
        ("nobody", 0),
        ("a", 1),
        ("b", MAX_WEI),
    ]
    assert (read.root_before, read.root_after) == (ROOT, ROOT)
    assert {each.root for each in read.readings} == {ROOT}
    assert len(indexer.asked) == 5


def test_a_root_that_moved_vouches_for_nothing() -> None:
    """With another root after the read, no reading is known to belong to either."""
    indexer = SmallIndexer(a=1)
    indexer.roots = [ROOT, OTHER_ROOT]

    read = balances_of(indexer, "a")

    assert (read.root_before, read.root_after) == (ROOT, OTHER_ROOT)
    assert [each.root for each in read.readings] == [None]


def test_a_reading_is_stamped_before_its_own_request() -> None:
    """Each reading began after the first audit and before the request that it comes from."""
    readings = balances_of(SmallIndexer(a=1, b=2), "a", "b", connections=1).readings

    assert readings == [
        BalanceReading("a", 1, datetime(2026, 1, 21, 0, 0, 2, tzinfo=UTC), ROOT),
        BalanceReading("b", 2, datetime(2026, 1, 21, 0, 0, 3, tzinfo=UTC), ROOT),
    ]


addresses = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, max_examples=20)
@given(st.lists(addresses, max_size=30, unique=True))
def test_accounts_go_byte_for_byte(accounts: list[str]) -> None:
    """Whatever an address holds, its own balance comes back and no other."""
    indexer = SmallIndexer(**{f"acct:user:{account}": place + 1 for place, account in enumerate(accounts)})

    read = balances_of(indexer, *indexer.balances)

    assert [each.wei for each in read.readings] == list(range(1, len(accounts) + 1))


@pytest.mark.parametrize(
    "account, sent",
    [
        ("a+b@x.com", "a%2Bb%40x.com"),
        ("a&account=b", "a%26account%3Db"),
        ("100%25", "100%2525"),
        ("A b/ü?#", "A%20b%2F%C3%BC%3F%23"),
        ("e\u0301", "e%CC%81"),
    ],
)
def test_an_account_is_encoded_once(account: str, sent: str) -> None:
    """Nothing between us and the wire quotes again, unquotes or normalises."""
    wire: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        wire.append(request.raw_path)
        return await SmallIndexer()(request)

    balances_of(answer, account)

    assert f"/balances?account={sent}" in wire


def test_connections_are_bounded() -> None:
    """A hundred accounts over four connections are never more than four requests at once."""
    indexer = SmallIndexer()

    balances_of(indexer, *map(str, range(100)), connections=4)

    assert 2 <= indexer.most_under_way <= 4


def test_requests_are_spaced_out_where_the_settings_say_so() -> None:
    """Six hundred a minute are ten a second, and no burst passes first."""

    async def timed(source: IndexerSource) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await source.balances(["a", "b", "c", "d"])
        return loop.time() - started

    assert reading(SmallIndexer(), timed, requests_per_minute=600) >= 0.35


def test_a_pause_that_the_indexer_asks_for_holds_all_requests() -> None:
    """After 429 no connection sends anything before `Retry-After` is over."""
    indexer = SmallIndexer()
    answered = asyncio.Event()

    async def limited(request: web.Request) -> web.StreamResponse:
        answered.set()
        return await status(429, Retry_After="0.3")(request)

    indexer.faults = {"/balances": [limited]}

    async def timed(source: IndexerSource) -> float:
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(source.balances(["a"]))
        await answered.wait()
        started = loop.time()
        await asyncio.sleep(0.05)
        await source.health()
        waited = loop.time() - started
        await first
        return waited

    assert reading(indexer, timed) >= 0.28


def test_progress_counts_accounts() -> None:
    """Somebody who waits sees how many balances there were so far."""
    seen: list[int] = []

    reading(SmallIndexer(), lambda source: source.balances(["a", "b", "c"], seen.append))

    assert seen == [1, 2, 3]


@pytest.mark.parametrize("path", ["/health", "/audit", "/balances"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(429), id="429"),
        pytest.param(status(429, Retry_After="0.02"), id="429 with a pause"),
        pytest.param(status(503), id="503"),
        pytest.param(truncated, id="truncated"),
        pytest.param(dropped, id="dropped"),
        pytest.param(hung, id="hung"),
    ],
)
def test_what_passes_is_read_again(path: str, fault: Handler) -> None:
    """Two faults in a row cost time, and no balance."""
    indexer = SmallIndexer(a=1, b=2)
    indexer.faults = {path: [fault] * 2}

    async def read(source: IndexerSource) -> list[int]:
        await source.health()
        return [each.wei for each in (await source.balances(["a", "b"])).readings]

    assert reading(indexer, read, timeout_s=0.2 if fault is hung else 5.0) == [1, 2]


LASTING = [
    pytest.param(status(429), "HTTP 429, 3 times in a row", id="429"),
    pytest.param(status(429, Retry_After="3600"), "HTTP 429 with a pause of 3600 s from", id="long pause"),
    pytest.param(status(500), "HTTP 500, 3 times in a row", id="500"),
    pytest.param(status(401), "HTTP 401 from", id="401"),
    pytest.param(status(404), "HTTP 404 from", id="404"),
    pytest.param(status(302, Location="http://127.0.0.1:9/"), "HTTP 302 from", id="redirect"),
    pytest.param(document([], 204), "HTTP 204 from", id="204"),
    pytest.param(status(200, "<html>", Content_Type="text/html"), "is no answer of the indexer's", id="HTML"),
    pytest.param(status(200, "ok", Content_Type="application/json"), "not JSON, or not whole", id="no JSON"),
    pytest.param(document("x" * 2**20), "more than 1,048,576 bytes", id="endless"),
    pytest.param(document(7), "malformed", id="number"),
    pytest.param(truncated, "broke off .ClientPayloadError., 3 times", id="truncated"),
    pytest.param(dropped, "broke off .ServerDisconnectedError., 3 times", id="dropped"),
    pytest.param(hung, "no whole answer within 0.1 s, 3 times", id="hung"),
]


@pytest.mark.parametrize("path", ["/health", "/audit", "/balances"])
@pytest.mark.parametrize("fault, message", LASTING)
def test_what_cannot_be_read_ends_the_read(path: str, fault: Handler, message: str) -> None:
    """Every fault that lasts ends every read, with what and where, and without the account."""
    indexer = SmallIndexer()
    indexer.faults = {path: [fault] * 30}

    async def read(source: IndexerSource) -> object:
        return await source.health(), await source.balances(["acct:user:someone@example.com", "b"])

    with pytest.raises(SourceUnreadable, match=message) as refusal:
        reading(indexer, read, attempts=3, timeout_s=0.1 if fault is hung else 5.0)

    assert path in str(refusal.value)
    assert "someone" not in str(refusal.value)
    assert refusal.value.source == "indexer"
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"asset": "UCRED", "balance_wei": "1"},
        ["UCRED"],
        [{"balance_wei": "1"}],
        [{"asset": "UCRED"}],
        [{"asset": "UCRED", "balance_wei": 1}],
        [{"asset": "UCRED", "balance_wei": "-1"}],
        [{"asset": "UCRED", "balance_wei": "1.0"}],
        [{"asset": "UCRED", "balance_wei": "1e18"}],
        [{"asset": "UCRED", "balance_wei": str(MAX_WEI + 1)}],
        [{"asset": "UCRED", "balance_wei": "1"}, {"asset": "UCRED", "balance_wei": "1"}],
        [{"asset": "GOLD", "balance_wei": ""}],
    ],
)
def test_a_malformed_balance_is_no_balance(body: object) -> None:
    """What the indexer does not write is refused, and never read as nothing."""
    indexer = SmallIndexer()
    indexer.faults = {"/balances": [document(body)]}

    with pytest.raises(SourceUnreadable, match=r"the answer of .*/balances is malformed"):
        balances_of(indexer, "a")


@pytest.mark.parametrize(
    "path, body",
    [
        ("/audit", {"state_root": ROOT.upper(), "height": 0}),
        ("/audit", {"state_root": ROOT[1:], "height": 0}),
        ("/audit", {"state_root": ROOT}),
        ("/audit", {"state_root": ROOT, "height": -1}),
        ("/audit", {"state_root": ROOT, "height": True}),
        ("/audit", [ROOT]),
        ("/health", {"status": "healthy", "service": "s"}),
        ("/health", {"status": "starting", "service": "s", "version": "v"}),
    ],
)
def test_a_malformed_audit_or_health_is_refused(path: str, body: object) -> None:
    """A root that is none, and a build that cannot be told, stop the read."""
    indexer = SmallIndexer()
    indexer.faults = {path: [document(body)]}

    async def read(source: IndexerSource) -> object:
        return await source.health(), await source.audit()

    with pytest.raises(SourceUnreadable, match=path):
        reading(indexer, read)


def test_an_indexer_that_is_down_is_said_at_once() -> None:
    """A refused connection is not tried again, and is named with the address, without credentials."""

    async def run() -> float:
        async with serving(SmallIndexer()) as base:
            pass
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with IndexerSource(IndexerAccess(base.replace("//", "//user:secret@"), pause_s=60)) as source:
            with pytest.raises(
                SourceUnreadable, match=r"no connection .* to http://127\.0\.0\.1:\d+/health"
            ) as refusal:
                await source.health()
        assert "secret" not in str(refusal.value)
        assert "RUST_L1_INDEXER" in refusal.value.advice
        return loop.time() - started

    assert asyncio.run(run()) < 5


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy between us and the indexer could answer for it."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert reading(SmallIndexer(), lambda source: source.health())


@pytest.mark.parametrize("ahead_s, taken_s", [(-3600, -3600), (0, 0), (4, 4), (6, 0), (3600, 0)])
def test_a_clock_that_is_ahead_makes_no_read_later(ahead_s: int, taken_s: int) -> None:
    """A read counts as of the indexer's time where ours is ahead of it, and as of ours otherwise."""
    truth = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert as_of(truth + timedelta(seconds=ahead_s), truth) == truth + timedelta(seconds=taken_s)
    assert as_of(truth, None) == truth
