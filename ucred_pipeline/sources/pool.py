"""Work on many items at once: a fixed pool of workers that draws them from one iterator."""

from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def drain(items: Iterable[T], work: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Work on every item; the first failure stops all workers and is raised as it is.

    A task for each item would hold a hundred thousand tasks in memory; these are as many as workers.
    """
    supply = iter(items)

    async def worker() -> None:
        for item in supply:
            await work(item)

    try:
        async with TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
