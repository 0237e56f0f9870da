"""Writes of several tasks in one transaction: all on disk when told, each failing alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import Connection, event, func, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import LedgerUnusable
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


async def fill_the_disk(ledger: Ledger, names: str) -> list[int | BaseException]:
    """Leave notes, and amid them one that is larger than what is left on the disk."""
    commits = GroupCommit(ledger)
    told = (commits.write(partial(leave, name=name * (10**7 if name == "#" else 1))) for name in names)
    return await asyncio.gather(*told, return_exceptions=True)


def test_a_transaction_that_sqlite_gave_up_is_told_to_nobody(sqlite_ledger: Ledger) -> None:
    """Where SQLite rolls everything back as one write met a full disk, none goes on as if it were kept."""
    with sqlite_ledger.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    event.listen(
        sqlite_ledger._engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages + 9}")
    )
    sqlite_ledger.close()

    told = asyncio.run(fill_the_disk(sqlite_ledger, "ab#cd"))

    assert [type(outcome) for outcome in told] == [OperationalError] * 5
    assert CountingLedger(sqlite_ledger).names() == []
    assert asyncio.run(fill_the_disk(sqlite_ledger, "e")) == [1]


def test_what_was_rolled_back_unseen_is_refused(sqlite_ledger: Ledger) -> None:
    """A transaction that is open no more when it should be kept is an error, not a success."""

    def lose() -> None:
        with sqlite_ledger.write() as connection:
            connection.execute(insert(notes).values(name="a", value=None))
            connection.connection.driver_connection.execute("ROLLBACK")  # type: ignore[union-attr]

    with pytest.raises(LedgerUnusable, match="gave up"):
        lose()

    assert CountingLedger(sqlite_ledger).names() == []


def test_a_connection_that_breaks_is_told_to_all(postgresql_url: str) -> None:
    """Where PostgreSQL ends the connection amid a group, no task goes on as if its write were kept."""

    def break_off(writes: Writes) -> int:
        with writes.write() as connection:
            return connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())").rowcount

    async def group(ledger: Ledger) -> list[int | BaseException]:
        commits = GroupCommit(ledger)
        works = (partial(leave, name="a"), break_off, partial(leave, name="b"))
        return await asyncio.gather(*(commits.write(work) for work in works), return_exceptions=True)

    with Ledger.open(postgresql_url) as ledger:
        assert [type(outcome) for outcome in asyncio.run(group(ledger))] == [OperationalError] * 3
        assert CountingLedger(ledger).names() == []
