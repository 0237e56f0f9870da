"""An interrupt ends asynchronous work where it waits, wherever the program was when it came."""

import asyncio
import signal

import pytest
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts

from ucred_pipeline.orchestration import interrupts


def interrupt() -> None:
    """Send what Dagster sends to a run that is terminated."""
    signal.raise_signal(signal.SIGINT)


async def interrupted_in_a_callback(done: list[str]) -> None:
    """Be interrupted while the event loop runs a callback, which swallows what is raised in it."""
    asyncio.get_running_loop().call_soon(interrupt)
    await asyncio.sleep(0.05)
    done.append("went on")


async def interrupted_in_a_task(done: list[str]) -> None:
    """Be interrupted in the middle of a step of one of two tasks."""

    async def step() -> None:
        interrupt()
        done.append("ended its step")
        await asyncio.sleep(5)
        done.append("went on")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(step())
        tasks.create_task(asyncio.sleep(5))


def test_dagster_sees_its_interrupt_wherever_it_comes() -> None:
    """In a callback it is not lost, and in a task the step is finished first; it is no group of failures."""
    for work, expected in ((interrupted_in_a_callback, []), (interrupted_in_a_task, ["ended its step"])):
        done: list[str] = []
        with pytest.raises(DagsterExecutionInterruptedError), raise_execution_interrupts():
            interrupts.run(work(done))
        assert done == expected


def test_a_key_interrupts_the_command() -> None:
    """Without Dagster it is the keyboard's interrupt, and the handlers are as they were."""
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(interrupted_in_a_callback([]))

    assert signal.getsignal(signal.SIGINT) is before


def test_work_that_nobody_interrupts() -> None:
    """What the work returns or raises comes out as it is."""

    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise LookupError("nothing there")

    assert interrupts.run(answer()) == 42
    with pytest.raises(LookupError, match="nothing there"):
        interrupts.run(fail())
