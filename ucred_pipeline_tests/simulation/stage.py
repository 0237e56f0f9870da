"""Virtual time, and the processes that take turns on it.

A process is a greenlet: it runs until it waits, and nothing else runs meanwhile, so that one seed is one
schedule. Its asyncio loop lives on virtual time too.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from ucred_pipeline_tests.conftest import NOON

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here, as with SIGKILL: nobody catches it, and nothing of it runs any more."""


class Stage:
    """Virtual time in seconds, and what is to happen when."""

    def __init__(self, failed: Callable[["Process", BaseException], None]) -> None:
        self.failed = failed
        self.now = 0.0
        self.current: Process | None = None
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._processes: list[Process] = []

    @property
    def moment(self) -> datetime:
        """True time, which no process of the pipeline knows."""
        return NOON + timedelta(seconds=self.now)

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen later."""
        heappush(self._coming, (self.now + seconds, next(self._order), happens))

    def start(self, name: str, work: Callable[["Process"], None]) -> "Process":
        """Start a process now."""
        process = Process(self, name, work)
        self._processes.append(process)
        self.after(0, process.resume)
        return process

    def play(self, seconds: float) -> None:
        """Let time pass, and all that is due in it happen."""
        end = self.now + seconds
        while self._coming and self._coming[0][0] <= end:
            moment, _, happens = heappop(self._coming)
            self.now = max(self.now, moment)
            happens()
        self.now = max(self.now, end)

    def living(self) -> list["Process"]:
        """Give the processes that have begun and not ended."""
        return [process for process in self._processes if not process.ended and not process.dead]

    def close(self) -> None:
        """End every process that is left."""
        for process in self._processes:
            process.dead = True
            process.resume()


class Process:
    """One process of the pipeline, with a clock of its own."""

    def __init__(self, stage: Stage, name: str, work: Callable[["Process"], None]) -> None:
        self.stage = stage
        self.name = name
        self.dead = False
        self.ended = False
        self.clock = ProcessClock(stage)
        self.failure: BaseException | None = None
        self._work = work
        self._life = greenlet(self._live)

    def resume(self) -> None:
        """Let it run until it waits or ends."""
        if self.ended:
            return
        before, self.stage.current = self.stage.current, self
        self._life.parent = getcurrent()
        self._life.switch()
        self.stage.current = before
        if self.failure is not None:
            self.stage.failed(self, self.failure)
            self.failure = None

    def sleep(self, seconds: float) -> None:
        """Wait, while the world and the other processes go on."""
        self.stage.after(seconds, self.resume)
        world = self._life.parent
        assert world is not None
        with _loop_put_aside():
            world.switch()
        self.must_live()

    def must_live(self) -> None:
        """End here if it was killed."""
        if self.dead:
            raise Killed

    def die(self) -> None:
        """End by SIGKILL, now."""
        self.dead = True
        raise Killed

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on virtual time: what `asyncio.run` is in the simulation."""
        loop = _VirtualLoop(self)
        try:
            return loop.run_until_complete(work)
        finally:
            loop.close()

    def _live(self) -> None:
        try:
            if not self.dead:
                self._work(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever runs the schedule
            if not self.dead:
                self.failure = error
        finally:
            self.ended = True


@dataclass(slots=True)
class ProcessClock:
    """A process's wall clock, which may be wrong and may step, and its monotonic one, which may not."""

    stage: Stage
    off_s: float = 0.0

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        return NOON + timedelta(seconds=self.stage.now + self.off_s)

    def monotonic(self) -> float:
        """Seconds that never step."""
        return self.stage.now


@contextmanager
def _loop_put_aside() -> Iterator[None]:
    """Let the others use asyncio meanwhile: it knows of one running loop and one task for each thread."""
    loop, hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()
    task = asyncio.current_task(loop) if loop else None
    if loop and task:
        asyncio._leave_task(loop, task)
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)
    if loop and task:
        asyncio._enter_task(loop, task)
    sys.set_asyncgen_hooks(*hooks)


class _Waiting:
    """Stands where a loop looks for input and output: there is only time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for the next timer of the loop."""
        if timeout is None:
            raise RuntimeError("a coroutine waits for something that will never happen")
        if timeout > 0:
            self._process.sleep(timeout)
        return []


class _VirtualLoop(asyncio.BaseEventLoop):
    """asyncio on virtual time; it opens no files and no sockets."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._selector = _Waiting(process)

    def time(self) -> float:
        """Virtual seconds."""
        return self._process.stage.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else's thread wakes this loop."""
