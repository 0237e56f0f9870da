"""The page as it is served, on a port of its own, for the tests that ask it over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from ucred_pipeline.domain.clock import Clock, SystemClock
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.page.answers import Shown
from ucred_pipeline.reporting.page.app import Pages
from ucred_pipeline.reporting.page.serving import listen, server
from ucred_pipeline.settings import Rules

HOST = "127.0.0.1"


@contextmanager
def served(
    url: str,
    *,
    rules: Rules | None = None,
    clock: Clock | None = None,
    token: str | None = None,
) -> Iterator[str]:
    """Serve a ledger's page for as long as the block lasts; give its address."""
    with closing(LedgerReader(url)) as reader, listen(HOST, 0) as listening:
        pages = Pages(Shown(reader, rules or Rules(), clock or SystemClock()))
        running = server(pages, token, HOST)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not running.started:
                time.sleep(0.01)
            yield f"http://{HOST}:{listening.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


@contextmanager
def visiting(url: str, **options: object) -> Iterator[httpx.Client]:
    """Serve a ledger's page, and visit it as a plain client that follows no redirect."""
    with (
        served(url, **options) as address,  # type: ignore[arg-type]
        httpx.Client(base_url=address, trust_env=False, timeout=30) as client,
    ):
        yield client
