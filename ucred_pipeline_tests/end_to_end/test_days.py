"""A run over some days plans for those alone, and costs Dagster no more than a run over one."""

from datetime import UTC, datetime, time, timedelta

import dagster as dg
import pytest

from ucred_pipeline.ledger.reads import Source, last_closed
from ucred_pipeline.ledger.runs import Run, find_run
from ucred_pipeline.orchestration.partitions import SCOPE_TAG
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal

DAY = timedelta(days=1)
#: How many days ago somebody bought who was never credited.
AGES = (400, 20, 10, 1)


@pytest.fixture
def world(rehearse: Rehearse) -> Rehearsal:
    """A world in which one purchase lacks on each of four days."""
    found = rehearse(NO_LIMITS, purchases=8, special_cases=False, lacking_share=0)
    for age in AGES:
        found.sandbox.purchase("lacking_indexer_down", email=address(age), age=age * DAY)
    return found


@pytest.fixture
def instance(world: Rehearsal) -> dg.DagsterInstance:
    """Dagster's history of the command, which can be read after it has ended."""
    return world.history


def address(age: int) -> str:
    """Who bought so many days ago."""
    return f"bought.{age}.days.ago@example.com"


def day(world: Rehearsal, age: int) -> str:
    """The UTC day so many days ago."""
    return f"{world.clock.now().astimezone(UTC) - age * DAY:%Y-%m-%d}"


def start(name: str) -> datetime:
    """When a UTC day begins."""
    return datetime.combine(datetime.fromisoformat(name), time(), UTC)


def kept_run(world: Rehearsal, run_id: str) -> Run:
    """A run as the ledger has it."""
    with world.ledger() as ledger, ledger.read() as connection:
        found = find_run(connection, run_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "since, until, credited",
    [(None, 10, (400, 20, 10)), (10, None, (10, 1))],
    ids=["to", "from"],
)
def test_some_days(
    world: Rehearsal,
    instance: dg.DagsterInstance,
    since: int | None,
    until: int | None,
    credited: tuple[int, ...],
) -> None:
    """A bound may be alone; what lacks beyond it waits, and the run is of one partition."""
    first = None if since is None else day(world, since)
    last = None if until is None else day(world, until)
    asked = [*(["--from", first] if first else []), *(["--to", last] if last else [])]

    said = world.reconcile(*asked)

    document = said.document
    assert (said.code, document["from"], document["to"]) == (0, first, last)
    assert world.sent_to() == {f"acct:user:{address(age)}": 10**18 for age in credited}
    assert document["corrections"]["confirmed"] == len(credited)
    assert document["verdicts"]["lacking"] == len(AGES) - len(credited)
    run = kept_run(world, document["run_id"])
    assert run.since == (start(first) if first else None)
    assert run.until == (start(last) + DAY if last else None)
    (told,) = instance.get_runs()
    assert told.tags["dagster/partition"] == day(world, 0)
    assert [name for name in told.tags if "partition_range" in name] == []
    assert told.tags[SCOPE_TAG] == f"{first or ''}..{last or ''}"


@pytest.mark.parametrize("asked", [["--from", "0001-01-01"], ["--to", "{}"]], ids=["from", "to"])
def test_days_without_an_end_are_read_again(world: Rehearsal, asked: list[str]) -> None:
    """A range that reaches back before all payments is read again from the oldest one on."""
    world.reconcile(apply=False)
    world.later()

    said = world.reconcile(*(part.format(day(world, 10)) for part in asked), apply=False)

    assert said.code == 0
    with world.ledger() as ledger, ledger.read() as connection:
        read = last_closed(connection, Source.STRIPE)
    assert read is not None
    assert read.rows >= AGES.index(1)


def test_the_days_that_were_left_out_come_later(world: Rehearsal) -> None:
    """A run over all that is open credits what a run over some days left, and nothing twice."""
    assert world.reconcile("--to", day(world, 10)).document["corrections"]["confirmed"] == 3
    world.later()

    said = world.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, 1)
    assert world.sent() == world.owed()
