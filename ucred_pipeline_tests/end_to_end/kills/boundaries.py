"""The step boundaries of a run, at which its process ends itself by SIGKILL; the rest is the real code.

It ends just before a transaction of the ledger is committed, or just after it is on disk, or while the
request of a credit is on its way to the indexer and back.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, NoReturn
from unittest import mock

import httpx
from sqlalchemy import Connection

from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.database import Ledger

#: The steps of a correction that are transactions of the ledger.
STEPS: Final = ("accept", "claim", "begin_sending", "conclude", "sweep_silent", "settle")
_IN_TRANSACTION: Final = {f"{step}, not committed": step for step in STEPS}
_ON_DISK: Final = {f"{step}, on disk": step for step in STEPS}
#: The way of a credit's request, by the names that httpcore gives to what happens.
_ON_THE_WIRE: Final = {
    "no byte has left": "http11.send_request_headers.started",
    "the head has left": "http11.send_request_headers.complete",
    "the request has left": "http11.send_request_body.complete",
    "the answer has begun": "http11.receive_response_headers.complete",
    "the answer is read": "http11.receive_response_body.complete",
}
PLACES: Final = (*_IN_TRANSACTION, *_ON_DISK, *_ON_THE_WIRE)


@dataclass(frozen=True, slots=True)
class Boundary:
    """One of the PLACES, and at which time that a run comes there it ends."""

    place: str
    time: int = 1

    def __str__(self) -> str:
        return f"{self.place} ({self.time})"


#: Every place once; each finds work for itself in what the ones before left.
BOUNDARIES: Final = (
    Boundary("accept, not committed"),
    Boundary("accept, on disk"),
    Boundary("claim, not committed"),
    Boundary("claim, on disk", 2),
    Boundary("begin_sending, not committed", 2),
    Boundary("begin_sending, on disk", 2),
    Boundary("sweep_silent, not committed"),
    Boundary("sweep_silent, on disk"),
    Boundary("no byte has left", 2),
    Boundary("the head has left", 2),
    Boundary("the request has left", 2),
    Boundary("settle, not committed"),
    Boundary("settle, on disk"),
    Boundary("the answer has begun", 2),
    Boundary("the answer is read", 2),
    Boundary("conclude, not committed", 2),
    Boundary("conclude, on disk", 2),
)


class _Countdown:
    """Ends the process at the n-th time that it is told to."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            _end()


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("the process outlived SIGKILL")


@contextmanager
def ending_at(boundary: Boundary | None) -> Iterator[None]:
    """Let this process end at a boundary, if it comes there while the block lasts."""
    if boundary is None:
        yield
        return
    end, place = _Countdown(boundary.time), boundary.place
    if place in _ON_THE_WIRE:
        with _on_the_wire(_ON_THE_WIRE[place], end):
            yield
    else:
        on_disk = place in _ON_DISK
        step = (_ON_DISK if on_disk else _IN_TRANSACTION)[place]
        with _at_transactions(step, end, on_disk=on_disk):
            yield


@contextmanager
def _on_the_wire(event: str, end: Callable[[], None]) -> Iterator[None]:
    """End at something that happens to the request of a credit; it alone carries an idempotency key."""
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def told(name: str, _: Any) -> None:
        if name == event:
            end()

    async def followed(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if "idempotency-key" in request.headers:
            request.extensions["trace"] = told
        return await send(transport, request)

    with mock.patch.object(httpx.AsyncHTTPTransport, "handle_async_request", followed):
        yield


@contextmanager
def _at_transactions(step: str, end: Callable[[], None], *, on_disk: bool) -> Iterator[None]:
    """End at a transaction in which a step is written, whoever opens it, and whatever else is in it."""
    write, open_steps = Ledger.write, _OpenSteps(step)

    @contextmanager
    def watched(ledger: Ledger) -> Iterator[Connection]:
        with write(ledger) as connection:
            yield connection
            if open_steps.has_it and not on_disk:
                end()
        if open_steps.has_it and on_disk:
            end()
        open_steps.clear()

    with mock.patch.object(Ledger, "write", watched), open_steps.followed():
        yield


class _OpenSteps:
    """Knows whether the step is in the transaction that is open."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._open = 0

    @property
    def has_it(self) -> bool:
        return self._open > 0

    def clear(self) -> None:
        self._open = 0

    def followed(self) -> Any:
        do = getattr(CorrectionBook, self._step)

        @wraps(do)
        def counted(*told: Any, **named: Any) -> Any:
            self._open += 1
            try:
                return do(*told, **named)
            except BaseException:
                self._open -= 1
                raise

        return mock.patch.object(CorrectionBook, self._step, counted)
