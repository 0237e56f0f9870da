"""Writes of several tasks in one transaction: all on disk when told, each failing alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.group_commit import GroupCommit, Writes
from ucred_pipeline.ledger.schema import notes


class CountingLedger:
    """The ledger, which counts its transactions, and whose disk may be full."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.commits = 0
        self.is_full = False

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the write transaction; a full disk lets none be kept."""
        with self.ledger.write() as connection:
            yield connection
            if self.is_full:
                raise OSError("No space left on device")
        self.commits += 1

    def names(self) -> list[str]:
        """The notes that are on disk."""
        with self.ledger.read() as connection:
            return sorted(connection.execute(select(notes.c.name)).scalars())


def leave(writes: Writes, name: str) -> int:
    """Leave a note, and count how many there are."""
    with writes.write() as connection:
        connection.execute(insert(notes).values(name=name, value=None))
        return connection.execute(select(func.count()).select_from(notes)).scalar_one()


async def leave_all(ledger: CountingLedger, names: str) -> list[int | BaseException]:
    """Leave a note for each letter, every one in a task of its own."""
    commits = GroupCommit(ledger)
    told = (commits.write(partial(leave, name=name)) for name in names)
    return await asyncio.gather(*told, return_exceptions=True)


@pytest.fixture
def counting(ledger: Ledger) -> CountingLedger:
    """A ledger that counts."""
    return CountingLedger(ledger)


def test_tasks_that_are_ready_share_a_transaction(counting: CountingLedger) -> None:
    """Eight tasks that write at the same time need one transaction, and each is told its own result."""
    assert asyncio.run(leave_all(counting, "abcdefgh")) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (counting.commits, counting.names()) == (1, list("abcdefgh"))


def test_one_after_the_other_each_has_its_own(counting: CountingLedger) -> None:
    """A task that writes alone does not wait for company."""

    async def one_by_one() -> None:
        commits = GroupCommit(counting)
        for name in "abc":
            await commits.write(partial(leave, name=name))

    asyncio.run(one_by_one())

    assert (counting.commits, counting.names()) == (3, ["a", "b", "c"])


def test_what_is_refused_fails_alone(counting: CountingLedger) -> None:
    """A write that breaks a constraint is undone, and told so; its company is kept."""
    told = asyncio.run(leave_all(counting, "aba"))

    assert told[:2] == [1, 2]
    assert isinstance(told[2], IntegrityError)
    assert counting.names() == ["a", "b"]


def test_what_is_not_on_disk_is_told_to_nobody(counting: CountingLedger) -> None:
    """When the transaction cannot be kept, no task goes on as if it had been."""
    counting.is_full = True
    told = asyncio.run(leave_all(counting, "abc"))

    assert [type(outcome) for outcome in told] == [OSError] * 3
    assert counting.names() == []
    counting.is_full = False
    assert asyncio.run(leave_all(counting, "d")) == [1]


def test_a_leader_that_is_cancelled_leaves_the_way_free(counting: CountingLedger) -> None:
    """A task that is ended while it waits for company does not stop the writes of later ones."""

    async def cancelled_and_next() -> int:
        commits = GroupCommit(counting)
        leader = asyncio.create_task(commits.write(partial(leave, name="a")))
        await asyncio.sleep(0)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        return await commits.write(partial(leave, name="b"))

    assert asyncio.run(cancelled_and_next()) == 1
    assert counting.names() == ["b"]
