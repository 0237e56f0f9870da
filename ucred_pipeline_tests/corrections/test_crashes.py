"""Wherever a process ends, its successor never credits a purchase twice, and loses none."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.group_commit import Part
from ucred_pipeline_tests.conftest import FakeClock, careless
from ucred_pipeline_tests.corrections.small_indexer import Fault, Killed, SmallIndexer
from ucred_pipeline_tests.corrections.world import World
from ucred_pipeline_tests.ledger.stories import item

_C, _A = CorrectionState, AttemptState


def killed_run(world: World, **told: Any) -> None:
    """Run until the process ends."""
    with pytest.raises((Killed, BaseExceptionGroup)):
        world.run(**told)


def once_each(world: World) -> None:
    """Assert that every purchase got its UCRED, and none of them twice."""
    assert Counter(found.account for found in world.items.values()) == Counter(world.indexer.applied)


def go_on(world: World) -> None:
    """Let later runs do what is left, once nobody disturbs them any more."""
    world.indexer.steps.clear()
    world.indexer.faults.clear()
    for _ in range(3):
        world.judge()
        world.run()
        world.settle_by_balances()


@pytest.mark.parametrize("step", ["open", "look", "balance", "credit"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_kill_at_any_step_of_the_indexer(world: World, step: str, which: int) -> None:
    """Killed at the first, second or third time of a step, nothing is posted again before it is settled."""
    world.lack(1, 2, 3)
    count = 0

    def kill() -> None:
        nonlocal count
        count += 1
        if count == which:
            raise Killed

    world.indexer.steps[step] = kill
    killed_run(world, parallel_accounts=1)
    posted = Counter(world.posts())
    world.indexer.steps.clear()
    world.judge()
    world.run()

    assert not [account for account in posted if Counter(world.posts())[account] > 1]
    go_on(world)
    once_each(world)


@pytest.mark.parametrize("method", ["sweep_silent", "accept", "claim", "begin_sending", "conclude"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_of_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, when: str
) -> None:
    """Killed just before or after a transaction, what may have left is in doubt; the rest is planned."""
    world.lack(1, 2)
    with monkeypatch.context() as patched:
        killing(patched, method, when)
        killed_run(world, parallel_accounts=1)
    posted = Counter(world.posts())
    world.judge()
    world.run()

    assert not [account for account in posted if Counter(world.posts())[account] > 1]
    go_on(world)
    once_each(world)


def killing(monkeypatch: pytest.MonkeyPatch, method: str, when: str) -> None:
    """Let the process end before a step of the book, or as soon as the step is on disk."""
    step, write = getattr(CorrectionBook, method), Ledger.write
    is_done = False

    def killed(book: CorrectionBook, *told: Any) -> Any:
        nonlocal is_done
        if when == "before":
            raise Killed
        came = step(book, *told)
        if not isinstance(book._ledger, Part):
            raise Killed
        is_done = True
        return came

    @contextmanager
    def committed(ledger: Ledger) -> Iterator[Connection]:
        with write(ledger) as connection:
            yield connection
        if is_done:
            raise Killed

    monkeypatch.setattr(CorrectionBook, method, killed)
    monkeypatch.setattr(Ledger, "write", committed)


@pytest.mark.parametrize("fault", [Fault.KILLED_BEFORE, Fault.KILLED_AFTER])
def test_a_kill_while_it_waits_for_the_answer(any_world: World, fault: Fault) -> None:
    """The next run finds what was being sent, calls it a doubt, and settles it by the balance later."""
    any_world.lack(1)
    any_world.indexer.faults[item(1).account] = [fault]
    killed_run(any_world)
    any_world.judge()

    any_world.run()
    assert (any_world.state(1), any_world.attempts(1)) == (_C.IN_DOUBT, [_A.IN_DOUBT])
    assert len(any_world.indexer.posted) == 1

    settled = any_world.settle_by_balances()
    assert (settled.applied, settled.not_applied) == ((1, 0) if fault is Fault.KILLED_AFTER else (0, 1))
    any_world.run()
    once_each(any_world)


def test_a_process_that_comes_back_to_life_sends_nothing(world: World) -> None:
    """Held up between claim and sending while another took over, the first one's fence is too low."""
    world.lack(1)
    slow = world.book()

    def another_takes_over() -> None:
        if world.indexer.opened == 2:
            world.indexer.steps.clear()
            other = world.book()
            other.sweep_silent()
            other.claim(slow_claim(world))

    world.indexer.steps["balance"] = another_takes_over
    issued = world.run(slow)

    assert dict(issued.not_sent) == {"claim_lost": 1}
    assert world.indexer.posted == []


def slow_claim(world: World) -> str:
    """Name the one correction there is."""
    with world.ledger.read() as connection:
        return str(connection.exec_driver_sql("SELECT id FROM corrections").scalar_one())


_faults = st.lists(st.sampled_from([None, *Fault]), max_size=3)
_runs = st.lists(
    st.tuples(
        st.lists(_faults, min_size=3, max_size=3),
        st.sampled_from(["nothing", "settle", "wait"]),
        st.sampled_from(["open", "look", "balance", "none"]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=_runs)
def test_no_schedule_credits_twice(migrated_file: Path, runs: list[Any]) -> None:
    """Whatever faults and kills some runs meet, no purchase is credited twice, and none is lost."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = shutil.copy(migrated_file, Path(folder) / "ledger.db")
        with Ledger.open(f"sqlite:///{Path(file).as_posix()}") as ledger:
            clock = FakeClock()
            world = World(careless(ledger), clock, SmallIndexer(clock))
            world.lack(1, 2)
            world.lack(3, account=item(1).account)
            for faults, then, step, which in runs:
                live_through(world, faults, step, which)
                most = max(Counter(world.indexer.applied).values(), default=0)
                assert most <= 2, "the account with two purchases has at most two credits"
                assert Counter(world.indexer.applied)[item(2).account] <= 1
                if then == "settle":
                    world.settle_by_balances()
                if then == "wait":
                    clock.advance(timedelta(minutes=16))
            clock.advance(timedelta(days=1))
            go_on(world)
            for hold in world.holds():
                assert hold.kind == "breaker"
            if not world.holds():
                assert_not_lost(world)


def live_through(world: World, faults: list[list[Fault | None]], step: str, which: int) -> None:
    """Run once, with faults for each account, and killed at the n-th time of a step."""
    count = 0

    def kill() -> None:
        nonlocal count
        count += 1
        if count == which:
            raise Killed

    world.indexer.faults.clear()
    for number, told in zip((1, 2, 3), faults, strict=True):
        world.indexer.faults[item(number).account] = [fault for fault in told if fault is not None]
    world.indexer.steps = {step: kill}
    world.judge()
    world.read_balances()
    world.clear_marks()
    with suppress(Killed, BaseExceptionGroup):
        world.run()
    world.indexer.steps = {}
    world.judge()


def assert_not_lost(world: World) -> None:
    """Assert that what is not credited was refused for good, which a person sees."""
    applied = Counter(world.indexer.applied)
    for number, found in world.items.items():
        if world.state(number) is _C.CONFIRMED:
            applied[found.account] -= 1
        else:
            assert world.state(number) in {_C.REFUSED, _C.PLANNED}
    assert set(applied.values()) <= {0}
