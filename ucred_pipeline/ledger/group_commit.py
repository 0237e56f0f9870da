"""Puts the writes that are ready at the same time into one transaction: the disk is synced once for all.

What a write is told is on disk, as if it had been alone. Each is a part of its own: one that is refused
leaves the others as they are. Where the database itself fails, all fail: it may have rolled back the whole.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

T = TypeVar("T")


class Writes(Protocol):
    """Where write transactions are opened: the ledger, or a part of a transaction that is open."""

    def write(self) -> AbstractContextManager[Connection]:
        """Open a write transaction; it is kept as a whole, or leaves nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an open transaction, which fails without the rest."""

    connection: Connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a savepoint of the transaction."""
        with self.connection.begin_nested():
            yield self.connection


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A write that waits for the next transaction, and whoever waits for it."""

    work: Callable[[Writes], Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GroupCommit:
    """Writes to the ledger on behalf of the tasks of one event loop."""

    def __init__(self, ledger: Writes) -> None:
        self._ledger = ledger
        self._waiting: list[_Waiting] = []

    async def write(self, work: Callable[[Writes], T]) -> T:
        """Do the work in the next transaction; return, or raise, when that is on disk."""
        mine = _Waiting(work)
        self._waiting.append(mine)
        if len(self._waiting) == 1:
            await self._lead()
        written: T = await mine.done
        return written

    async def _lead(self) -> None:
        """Let every task that is ready bring its write, then write them all."""
        try:
            await asyncio.sleep(0)
        finally:
            group, self._waiting = self._waiting, []
        try:
            ended = self._write_all(group)
        except Exception as failure:  # noqa: BLE001 - nothing of the group is on disk: each of them is told
            ended = [failure] * len(group)
        for waiting, outcome in zip(group, ended, strict=True):
            _end(waiting.done, outcome)

    def _write_all(self, group: list[_Waiting]) -> list[Any]:
        with self._ledger.write() as connection:
            return [_outcome(waiting.work, Part(connection)) for waiting in group]


def _outcome(work: Callable[[Writes], Any], part: Part) -> Any:
    """Give what the work returns, or the refusal that it raises; only that part is undone."""
    try:
        return work(part)
    except IntegrityError as refusal:
        return refusal
    except (SQLAlchemyError, MemoryError):
        raise
    except Exception as refusal:  # noqa: BLE001 - it is raised where the work came from
        return refusal


def _end(done: asyncio.Future[Any], outcome: Any) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
