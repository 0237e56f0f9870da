"""The way by which credits leave: each request once and whole, and no secret in any text."""

import asyncio
import json
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Final, TypeVar

import pytest
from aiohttp import web

from ucred_pipeline.corrections.indexer import (
    HttpIndexerConnection,
    HttpIndexerDoor,
    IndexerUnreachable,
    NeverLeft,
    NoReply,
    Reply,
)
from ucred_pipeline.domain.corrections import Attempt, AttemptState
from ucred_pipeline.domain.evidence import Build
from ucred_pipeline.domain.money import MAX_WEI
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.sources.loopback import Handler, document, dropped, serving, status, truncated

T = TypeVar("T")
TOKEN: Final = "op-secret-7f3a"
STRANGE: Final = "acct:user:Ünï+a&b%20c#d ?e=/f@Example.com"
ATTEMPT: Final = Attempt(
    correction="0123456789abcdef",
    number=1,
    state=AttemptState.SENDING,
    account=STRANGE,
    amount=MAX_WEI,
    memo="correction:ñ.x:0123456789abcdef.1",
    balance_before=0,
    root_before="",
    account_quiet=True,
    witness=None,
    witness_wei=None,
    began=NOON,
    deadline=NOON,
    settles_after=NOON,
    fence=1,
)


class Recorder:
    """Keeps what arrives, and answers with a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Take one request."""
        self.requests.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return await self._handler(request)


async def hung(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(30)
    return web.Response()


async def drips(request: web.Request) -> web.StreamResponse:
    """Send a letter now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


def door_to(address: str, credit_timeout_s: float = 5.0) -> HttpIndexerDoor:
    """Give the way to an address."""
    return HttpIndexerDoor(address, TOKEN, 5.0, credit_timeout_s, FakeClock())


def through(
    handler: Handler,
    ask: Callable[[HttpIndexerConnection], Awaitable[T]],
    read_timeout_s: float = 5.0,
    credit_timeout_s: float = 5.0,
) -> T:
    """Ask a server something on one connection."""

    async def run() -> T:
        async with serving(handler) as base:
            door = HttpIndexerDoor(base, TOKEN, read_timeout_s, credit_timeout_s, FakeClock())
            async with door.open() as connection:
                return await ask(connection)

    return asyncio.run(run())


async def credit(connection: HttpIndexerConnection) -> Reply:
    """Read a balance, and send one credit on the same connection."""
    await connection.balance("a")
    return await connection.credit(ATTEMPT, "a-key")


def reading(handler: Handler) -> Handler:
    """Answer what is read, and leave credits to a handler."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request) if request.method == "POST" else web.json_response([])

    return answer


def test_a_credit_is_one_whole_request() -> None:
    """Account, amount and memo arrive byte for byte, with a length and a key; the token is in the body."""
    server = Recorder(document({"success": True}))

    reply = through(reading(server), credit)

    assert (reply.status, json.loads(reply.body)) == (200, {"success": True})
    ((method, path, headers, body),) = server.requests
    assert (method, path) == ("POST", "/admin/credit")
    assert json.loads(body) == {
        "asset": "UCRED",
        "account": STRANGE,
        "amount_wei": str(MAX_WEI),
        "memo": ATTEMPT.memo,
        "operator_token": TOKEN,
    }
    assert headers["Content-Length"] == str(len(body))
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "a-key"
    assert "Transfer-Encoding" not in headers
    assert TOKEN not in str(headers)


@pytest.mark.parametrize("code", [400, 401, 404, 429, 500, 502, 503])
def test_a_whole_answer_is_given_as_it_is(code: int) -> None:
    """Whatever the status, what it proves is for others to say; it is asked for once."""
    server = Recorder(status(code, "some text", Retry_After="1"))

    assert through(reading(server), credit) == Reply(code, b"some text")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(code: int) -> None:
    """A redirect is an answer, and the credit does not go on to where it points."""
    server = Recorder(status(code, "elsewhere", Location="/admin/credit"))

    assert through(reading(server), credit).status == code
    assert len(server.requests) == 1


@pytest.mark.parametrize("handler", [dropped, truncated], ids=["dropped", "truncated"])
def test_what_breaks_off_has_no_reply_and_is_not_sent_again(handler: Handler) -> None:
    """A connection that ends before the whole answer leaves a doubt, after one request."""
    server = Recorder(handler)

    with pytest.raises(NoReply):
        through(reading(server), credit)

    assert len(server.requests) == 1


@pytest.mark.parametrize("handler", [hung, drips], ids=["silent", "dripping"])
def test_a_time_out_has_no_reply_and_is_not_sent_again(handler: Handler) -> None:
    """An answer that does not end in time leaves a doubt, also where it goes on letter by letter."""
    server = Recorder(handler)

    with pytest.raises(NoReply):
        through(reading(server), credit, read_timeout_s=0.1, credit_timeout_s=0.3)

    assert len(server.requests) == 1


def test_no_credit_leaves_on_another_connection_than_was_looked_at() -> None:
    """Where the server ends the connection after a read, another may answer: the credit does not leave."""
    arrived: list[str] = []

    async def closing(request: web.Request) -> web.StreamResponse:
        arrived.append(request.path)
        response = web.json_response([])
        response.force_close()
        return response

    with pytest.raises(NeverLeft, match="closed"):
        through(closing, credit)

    assert arrived == ["/balances"]


def test_a_connection_is_kept_however_long_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for the ledger between the look and the credit does not make the client open another one."""
    ports: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.json_response([])

    async def read_wait_and_credit(connection: HttpIndexerConnection) -> Reply:
        await connection.balance("a")
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
        monkeypatch.setattr("httpcore._async.http11.time", later)
        return await connection.credit(ATTEMPT, "a-key")

    through(answer, read_wait_and_credit)

    assert len(ports) == 2
    assert len(set(ports)) == 1


def closed_port() -> int:
    """Find a port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def test_a_refused_connection_never_left() -> None:
    """Where no connection is made, nothing can have arrived."""

    async def run() -> None:
        async with door_to(f"http://127.0.0.1:{closed_port()}").open() as connection:
            with pytest.raises(NeverLeft):
                await connection.credit(ATTEMPT, "a-key")
            with pytest.raises(IndexerUnreachable):
                await connection.probe_token()
            with pytest.raises(IndexerUnreachable, match="/health"):
                await connection.look()

    asyncio.run(run())


def test_a_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the indexer itself, whatever proxies the environment names."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "")

    assert through(reading(document({})), credit).status == 200


@pytest.mark.parametrize("account", [STRANGE, "acct:user:a+b@x.com", "acct:user:a b@x.com", "A@x", "100%25"])
def test_an_account_is_asked_for_byte_for_byte(account: str) -> None:
    """The server decodes exactly the account that was meant."""
    asked: list[str] = []

    async def balances(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["account"])
        return web.json_response(
            [{"asset": "GOLD", "balance_wei": "7"}, {"asset": "UCRED", "balance_wei": "5"}]
        )

    assert through(balances, lambda connection: connection.balance(account)) == 5
    assert asked == [account]


@pytest.mark.parametrize("rows, wei", [([], 0), ([{"asset": "UCRED", "balance_wei": str(MAX_WEI)}], MAX_WEI)])
def test_a_balance_is_exact(rows: list[object], wei: int) -> None:
    """An account that was never seen has none, and 128 bits are read to the wei."""
    assert wei == through(document(rows), lambda connection: connection.balance("a"))


@pytest.mark.parametrize(
    "told",
    [
        {"asset": "UCRED"},
        [{"asset": "UCRED"}],
        [{"asset": "UCRED", "balance_wei": 5}],
        [{"asset": "UCRED", "balance_wei": "-5"}],
        [{"asset": "UCRED", "balance_wei": "5"}] * 2,
        ["UCRED"],
        None,
        7,
    ],
    ids=repr,
)
def test_a_balance_that_makes_no_sense_is_no_balance(told: object) -> None:
    """Nothing is sent on the strength of an answer that nobody understands."""
    with pytest.raises(IndexerUnreachable, match="/balances"):
        through(document(told), lambda connection: connection.balance("a"))


@pytest.mark.parametrize("handler", [status(500), status(404), status(301), dropped, truncated, status(200)])
def test_a_read_that_fails_is_no_doubt(handler: Handler) -> None:
    """Before a credit, whatever goes wrong means that nothing is sent."""
    with pytest.raises(IndexerUnreachable):
        through(handler, lambda connection: connection.balance(STRANGE))
    with pytest.raises(IndexerUnreachable):
        through(handler, lambda connection: connection.look())


def looking_at(date: str | None, **changes: object) -> Handler:
    """Answer health and audit."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            told: dict[str, object] = {"status": "healthy", "service": "rust-l1-indexer", "version": "0.1.0"}
        else:
            told = {"state_root": "ab" * 32, "height": 0}
        response = web.json_response({name: value for name, value in (told | changes).items() if value})
        response.headers["Date"] = date or "soon"
        return response

    return answer


def test_a_look_tells_build_root_and_both_clocks() -> None:
    """What the gates need is read on the connection that will send."""
    sight = through(looking_at("Tue, 03 Feb 2026 12:00:05 GMT"), lambda connection: connection.look())

    assert Build("rust-l1-indexer", "0.1.0") == sight.build
    assert (sight.root, sight.began) == ("ab" * 32, NOON)
    assert sight.server_date == datetime(2026, 2, 3, 12, 0, 5, tzinfo=UTC)


def test_a_date_that_says_nothing_is_none() -> None:
    """Then the clocks cannot be compared, which a gate refuses."""
    assert through(looking_at(None), lambda connection: connection.look()).server_date is None


@pytest.mark.parametrize("missing", ["service", "version", "state_root"])
def test_a_look_without_its_parts_is_none(missing: str) -> None:
    """An indexer that does not say what it is, is not sent to."""
    with pytest.raises(IndexerUnreachable):
        through(looking_at(None, **{missing: None}), lambda connection: connection.look())


def test_the_probe_asks_for_nothing() -> None:
    """The token is proved with an amount that does not parse, for an account that is nobody's."""
    server = Recorder(status(400, "Invalid amount: invalid digit found in string"))

    assert through(server, lambda connection: connection.probe_token()).status == 400
    told = json.loads(server.requests[0][3])
    assert (told["amount_wei"], told["account"], told["operator_token"]) == ("x", "acct:recon:probe", TOKEN)
    assert "Idempotency-Key" not in server.requests[0][2]


@pytest.mark.parametrize("handler", [status(500), dropped, truncated])
def test_no_text_has_the_token_or_an_address(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the door, nor an error with all its causes, nor a log line tells the token or a customer."""
    caplog.set_level("DEBUG")
    texts = [repr(door_to("http://localhost:8089")), str(door_to("http://localhost:8089"))]
    for ask in (credit, lambda connection: connection.balance(STRANGE), lambda found: found.probe_token()):
        try:
            through(handler, ask)
        except (NeverLeft, NoReply, IndexerUnreachable) as error:
            texts += traceback.format_exception(error)

    told = "\n".join([*texts, *caplog.messages])
    assert TOKEN not in told
    assert "Example.com" not in told
    assert "http://localhost:8089" in told


def test_a_connection_is_one_connection() -> None:
    """Reads and the credit go over the same connection."""
    peers: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response([])

    async def read_and_credit(connection: HttpIndexerConnection) -> None:
        await connection.balance("a")
        await connection.balance("b")
        await connection.credit(ATTEMPT, "a-key")

    through(answer, read_and_credit)

    assert len(peers) == 1
