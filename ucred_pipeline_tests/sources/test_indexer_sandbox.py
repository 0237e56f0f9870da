"""The indexer read from the sandbox: what was read is what is there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from ucred_pipeline.domain.evidence import Build
from ucred_pipeline.domain.state_root import GENESIS, UCRED, state_root
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer import IndexerAccess, IndexerSource

T = TypeVar("T")


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Two hundred purchases with every case."""
    with Sandbox(SandboxSpec()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Iterator[Sandbox]:
    """The same world, with its faults cleared afterwards."""
    yield world
    world.faults.clear()


def reading(sandbox: Sandbox, read: Callable[[IndexerSource], Awaitable[T]]) -> T:
    """Run one read in a loop of its own."""

    async def run() -> T:
        async with IndexerSource(IndexerAccess(sandbox.indexer_base, pause_s=0.001)) as source:
            return await read(source)

    return asyncio.run(run())


def test_the_balances_reproduce_the_root(sandbox: Sandbox) -> None:
    """With the treasuries, the balances of all accounts are the whole state."""
    accounts = sorted({credit.account for credit in sandbox.credits})

    read = reading(sandbox, lambda source: source.balances(accounts))

    held = {(UCRED, reading.account): reading.wei for reading in read.readings}
    assert state_root({**GENESIS, **held}) == read.root_before == read.root_after


def test_the_build_is_the_reviewed_one(sandbox: Sandbox) -> None:
    """The sandbox answers as the build that the rules were made for."""
    assert reading(sandbox, lambda source: source.health()) == Build("rust-l1-indexer", "0.1.0")


@pytest.mark.parametrize("fault", ["indexer-read-error", "indexer-read-drop", "indexer-read-truncated"])
def test_a_stormy_indexer_is_read_whole(sandbox: Sandbox, fault: str) -> None:
    """With every tenth answer broken, the same balances are read."""
    accounts = sorted({credit.account for credit in sandbox.credits})
    calm = reading(sandbox, lambda source: source.balances(accounts))
    sandbox.faults.set(fault, probability=0.1)

    stormy = reading(sandbox, lambda source: source.balances(accounts))

    assert [each.wei for each in stormy.readings] == [each.wei for each in calm.readings]


@pytest.mark.parametrize("fault", ["indexer-refuse", "indexer-read-foreign", "indexer-read-error"])
def test_a_broken_indexer_ends_the_read(sandbox: Sandbox, fault: str) -> None:
    """Down, behind somebody's page, or broken: nothing was read."""
    sandbox.faults.set(fault)

    with pytest.raises(SourceUnreadable) as refusal:
        reading(sandbox, lambda source: source.balances(["acct:user:a@example.com"]))

    assert "example.com" not in str(refusal.value)
