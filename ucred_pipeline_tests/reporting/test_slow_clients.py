"""Clients that are slow, or gone, or endless: they take nobody else's place."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import httpx
import pytest

from ucred_pipeline.reporting.page import asked, connections, first_page
from ucred_pipeline_tests.reporting.serving import HOST, visiting

HEAD = b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"


@pytest.fixture
def client(sqlite_url: str) -> Iterator[httpx.Client]:
    """A visitor who is quick."""
    with visiting(sqlite_url) as visitor:
        yield visitor


def connected(client: httpx.Client, said: bytes = b"") -> socket.socket:
    """Somebody else who has connected, and said so much."""
    found = socket.create_connection((HOST, client.base_url.port or 0), timeout=10)
    found.sendall(said)
    return found


def answer_to(other: socket.socket) -> bytes:
    """All that is answered until the connection is closed."""
    with other:
        return b"".join(iter(lambda: other.recv(65536), b""))


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_who_asks_for_nothing_keeps_nobody_out(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Many connections without a whole request leave room for others, and are closed after a while."""
    monkeypatch.setattr(connections, "PATIENCE_S", 1.0)
    with ExitStack() as others:
        idle = [others.enter_context(connected(client, said)) for _ in range(100)]
        health = client.get("/healthz")
        closed = {answer_to(other) for other in idle}

    assert health.status_code == 200
    assert closed == {b""}


def test_pages_that_take_long_delay_no_scrape(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While more pages are made than there are threads, /metrics and /healthz answer at once."""
    goes_on = Event()
    monkeypatch.setattr(first_page, "read_dashboard", lambda *_: goes_on.wait(30))
    with ThreadPoolExecutor(60) as visitors:
        waiting = [visitors.submit(client.get, "/") for _ in range(60)]
        try:
            answers = [client.get(path, timeout=5).status_code for path in ("/healthz", "/metrics")]
        finally:
            goes_on.set()
    assert {visit.result().status_code for visit in waiting} == {500}  # what was made is no page
    assert answers == [200, 200]


def test_a_search_that_never_ends(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form of which only the beginning comes is given up."""
    monkeypatch.setattr(asked, "_PATIENCE_S", 0.2)

    assert b" 408 " in answer_to(connected(client, HEAD + b"name=")).partition(b"\r\n")[0]


def test_who_leaves_is_no_fault_of_the_pipeline(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that is closed while it sends is not told of as a fault to report."""
    connected(client, HEAD + b"name=").close()
    client.get("/healthz")

    assert "fault" not in caplog.text


def test_an_endless_head_is_refused(client: httpx.Client) -> None:
    """What is kept of a head that may be anybody's is bounded."""
    with connected(client, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ") as other:
        other.sendall(b"x" * 200_000)
        status = other.recv(100).split()[1]

    assert status in {b"400", b"431"}


def test_no_other_protocol_is_spoken(client: httpx.Client) -> None:
    """A request to change to a WebSocket is answered as any other, with the headers of safety."""
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    answer = client.get("/", headers={**upgrade, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})

    assert answer.status_code == 200
    assert "content-security-policy" in answer.headers
