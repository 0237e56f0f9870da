"""An interrupt (Dagster's Terminate, or a key) ends asynchronous work where it waits, between two steps.

Raised wherever the program happens to be it would be lost in a callback of the event loop, and the run would
go on; in a task it would leave the group as a failure, not as the interruption that Dagster knows.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar

T = TypeVar("T")
_Handler = Callable[[int, FrameType | None], Any]
#: Those that Dagster handles alike; SIGBREAK is Windows' own.
_SIGNALS: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work; when an interrupt comes cancel it, and then raise what the interrupt means."""
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)
    interrupt = _Interrupt()
    try:
        return asyncio.run(interrupt.cancelling(work))
    finally:
        interrupt.raise_again()


class _Interrupt:
    """The interrupt that comes while something runs, if one does."""

    def __init__(self) -> None:
        self._meant: Callable[[], Any] | None = None

    async def cancelling(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work, and cancel it when an interrupt comes."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def came(before: _Handler, number: int, frame: FrameType | None) -> None:
            self._meant = lambda: before(number, frame)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

        with _handled_by(came):
            return await work

    def raise_again(self) -> None:
        """Do what would have been done at once."""
        if self._meant is not None:
            self._meant()


@contextmanager
def _handled_by(came: Callable[[_Handler, int, FrameType | None], None]) -> Iterator[None]:
    """Tell `came` of each signal that somebody handles, with who handled it before."""
    before = {number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}
    for number, handler in before.items():
        signal.signal(number, partial(came, handler))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
