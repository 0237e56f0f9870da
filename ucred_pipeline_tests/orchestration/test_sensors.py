"""The sensors: whose turn it is in the retry queue, old days that changed, and runs that died in silence."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.days import failed_days, note_changed, note_failed
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Run, find_run, last_run
from ucred_pipeline.orchestration import summary
from ucred_pipeline.orchestration.jobs import may_retry, may_send
from ucred_pipeline.orchestration.partitions import SCOPE_TAG, scope_of
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.conftest import RunJob, pipeline_of
from ucred_pipeline_tests.orchestration.test_job import day_of

A_MINUTE: Final = timedelta(minutes=1)


@pytest.fixture
def world(rehearse: Rehearse) -> Rehearsal:
    """A small world in which one purchase lacks."""
    return rehearse(
        "[indexer]\nanswers_429_before_the_effect = true\n",
        purchases=20,
        special_cases=False,
        lacking_share=0.05,
    )


def tick(world: Rehearsal, instance: dg.DagsterInstance, name: str, cursor: str | None = None) -> Any:
    """Let a sensor look once, as the daemon does."""
    sensor = defs.resolve_sensor_def(name)
    with (
        pipeline_of(world) as pipeline,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"pipeline": pipeline}, definitions=defs
        ) as context,
    ):
        return sensor.evaluate_tick(context)


def run_of(
    instance: dg.DagsterInstance, status: str, tags: Mapping[str, str], **others: Any
) -> dg.DagsterRun:
    """Keep a run as Dagster would."""
    given = {"job_name": "reconciliation", "run_config": may_send()} | others
    run = dg.DagsterRun(status=dg.DagsterRunStatus(status), tags=tags, **given)
    instance.add_run(run)
    return run


def kept(world: Rehearsal, run_id: str) -> Run | None:
    """A run as the ledger has it."""
    with world.ledger() as ledger, ledger.read() as connection:
        return find_run(connection, run_id)


def begin(world: Rehearsal, run_id: str) -> None:
    """Let a run leave its beginning in the ledger."""
    with pipeline_of(world) as pipeline:
        summary.start(pipeline, run_id, Days(), applied=True)


@pytest.mark.parametrize("name", ["due_retries", "dirty_days", "failed_runs"])
def test_they_run_by_default(name: str) -> None:
    """Nobody has to switch them on."""
    assert defs.resolve_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING


def test_the_retry_queue_is_asked_for_once_a_turn(world: Rehearsal, instance: dg.DagsterInstance) -> None:
    """Its key carries the attempt's number, and while its run is under way none is asked for."""
    assert tick(world, instance, "due_retries").run_requests == []
    (owed,) = world.sandbox.truth.to_credit.values()
    world.sandbox.faults.set("indexer-error-before", "429", account=owed.account, times=1)
    world.reconcile()
    world.later(A_MINUTE)

    (request,) = tick(world, instance, "due_retries").run_requests
    (again,) = tick(world, instance, "due_retries").run_requests

    assert request.run_key == again.run_key
    assert request.run_key.endswith(".1/1")
    assert defs.resolve_sensor_def("due_retries").job_name == "settle_corrections"
    assert request.run_config == may_retry()
    run_of(instance, "STARTED", {}, job_name="settle_corrections")
    world.later(A_MINUTE)
    assert tick(world, instance, "due_retries").run_requests == []


def test_a_late_change_asks_for_its_old_day(
    world: Rehearsal, instance: dg.DagsterInstance, run_job: RunJob
) -> None:
    """A first run leaves no day open; a late success does, until a run over its day has read it whole."""
    run_job(world)
    assert tick(world, instance, "dirty_days").run_requests == []
    late = world.sandbox.purchase("succeeded_nine_days_later", age=timedelta(days=12))
    world.later()
    run_job(world)
    (request,) = tick(world, instance, "dirty_days").run_requests
    assert request.partition_key == day_of(world, late)
    assert request.run_config == may_send()

    run_job(world, partition_key=request.partition_key)

    assert tick(world, instance, "dirty_days").run_requests == []
    assert max(world.sent().values()) == 1


def test_at_most_a_dozen_old_days(world: Rehearsal, instance: dg.DagsterInstance) -> None:
    """The oldest first, none that is under way; a failure gives a new key."""
    now, names = world.clock.now(), [f"2025-03-{number:02}" for number in range(1, 16)]
    with world.ledger() as ledger, ledger.write() as connection:
        note_changed(connection, names, now)
    run_of(instance, "STARTED", {"dagster/partition": names[0]})

    found = tick(world, instance, "dirty_days").run_requests

    assert [one.partition_key for one in found] == names[1:13]
    with world.ledger() as ledger, ledger.write() as connection:
        day = now.replace(year=2025, month=3, day=2, hour=0, minute=0)
        failed = now + A_MINUTE
        note_failed(connection, Days(day, day + timedelta(days=1)), failed, Outcome.FAULT)
    assert names[1] not in {one.partition_key for one in tick(world, instance, "dirty_days").run_requests}
    with world.ledger() as ledger, ledger.write() as connection:
        for name in names[2:]:
            connection.exec_driver_sql(f"DELETE FROM reconciliation_days WHERE day = '{name}'")
    world.later(timedelta(hours=1))
    (red,) = tick(world, instance, "dirty_days").run_requests
    assert red.run_key != found[0].run_key


def test_days_before_the_calendar_are_asked_for_as_well(
    world: Rehearsal, instance: dg.DagsterInstance, run_job: RunJob
) -> None:
    """A range that failed and begins before the first day is green again; what is in a row is one run."""
    run_job(world)
    now, names = world.clock.now(), ["2023-12-29", "2023-12-30", "2023-12-31", "2024-01-01"]
    with world.ledger() as ledger, ledger.write() as connection:
        note_failed(connection, scope_of(names, {}), now, Outcome.SOURCE_UNREADABLE)
        note_changed(connection, ["1999-12-31"], now)
    world.later(timedelta(hours=1))

    asked = tick(world, instance, "dirty_days").run_requests

    assert [one.tags.get(SCOPE_TAG) for one in asked] == [
        "1999-12-31..1999-12-31",
        "2023-12-29..2023-12-31",
        None,
    ]
    assert asked[-1].partition_key == "2024-01-01"
    assert [one.run_key for one in asked] == [
        one.run_key for one in tick(world, instance, "dirty_days").run_requests
    ]
    for one in asked:
        run_job(world, partition_key=one.partition_key, tags=dict(one.tags))
    with world.ledger() as ledger, ledger.read() as connection:
        assert failed_days(connection) == []
    assert tick(world, instance, "dirty_days").run_requests == []


@pytest.mark.parametrize(
    "status, tags, outcome",
    [
        ("FAILURE", {}, "fault"),
        ("CANCELED", {}, "fault"),
        ("FAILURE", {"dagster/will_retry": "true"}, "retried"),
        ("SUCCESS", {}, "done"),
        ("STARTED", {}, "running"),
    ],
)
def test_a_run_that_died_gets_its_end(
    world: Rehearsal, instance: dg.DagsterInstance, status: str, tags: dict[str, str], outcome: str
) -> None:
    """What the ledger takes for running and Dagster knows to have ended, ends; what runs goes on."""
    run = run_of(instance, status, tags)
    begin(world, run.run_id)

    tick(world, instance, "failed_runs")

    found = kept(world, run.run_id)
    assert found is not None
    assert (found.outcome, bool(found.finished)) == (outcome, outcome != "running")


@pytest.mark.parametrize("job", ["reconciliation", "settle_corrections", "__ASSET_JOB"])
def test_a_run_that_never_began_is_kept(world: Rehearsal, instance: dg.DagsterInstance, job: str) -> None:
    """One that failed before its first step leaves a fault for its day; one that is tried again does not."""
    tags = {"dagster/partition": "2025-03-01", "dagster/backfill": "b"}
    clicked = {"asset_selection": frozenset({dg.AssetKey("purchases")})} if job == "__ASSET_JOB" else {}
    lost = run_of(instance, "FAILURE", tags, job_name=job, **clicked)
    foreign = run_of(instance, "FAILURE", tags, job_name="another_teams")
    retried = run_of(instance, "FAILURE", {"dagster/will_retry": "true"})

    ticked = tick(world, instance, "failed_runs")

    found = kept(world, lost.run_id)
    assert found is not None
    assert (found.outcome, found.job, found.applied) == (Outcome.FAULT, job, True)
    assert f"{found.since:%Y-%m-%d}" == "2025-03-01"
    assert kept(world, foreign.run_id) is None
    assert kept(world, retried.run_id) is None
    assert tick(world, instance, "failed_runs", ticked.cursor).cursor == ticked.cursor
    with world.ledger() as ledger, ledger.read() as connection:
        last = last_run(connection, world.clock.now())
        assert (last is not None) is (job == "reconciliation")


@pytest.mark.parametrize(
    "scope", ["2025-01-01", "2025-1-1..2025-12-31", "last week", "2025-02-02..2025-01-01"]
)
def test_a_run_over_days_that_are_none_is_kept(
    world: Rehearsal, instance: dg.DagsterInstance, scope: str
) -> None:
    """A range that a person mistyped ends that run alone: it is kept, and the next ones are looked at."""
    mistyped = run_of(instance, "FAILURE", {"dagster/partition": "2025-03-01", SCOPE_TAG: scope})
    after = run_of(instance, "FAILURE", {"dagster/partition": "2025-03-02"})

    tick(world, instance, "failed_runs")

    assert [bool(kept(world, run.run_id)) for run in (mistyped, after)] == [True, True]
    with world.ledger() as ledger, ledger.read() as connection:
        assert [one.day for one in failed_days(connection)] == ["2025-03-02"]


def test_a_clock_that_was_ahead_hides_no_run(world: Rehearsal, instance: dg.DagsterInstance) -> None:
    """Up to when was looked is never later than now: else nothing would be seen until then."""
    run = run_of(instance, "FAILURE", {"dagster/partition": "2025-03-01"})
    ahead = world.clock.now() + timedelta(days=3650)

    ticked = tick(world, instance, "failed_runs", ahead.isoformat())

    assert kept(world, run.run_id) is not None
    assert ticked.cursor == world.clock.now().isoformat()


@pytest.mark.parametrize("config", [{"ops": None}, {"ops": ["apply"]}, {"ops": {"corrective_credits": True}}])
def test_a_run_of_a_wrong_configuration_is_kept(
    world: Rehearsal, instance: dg.DagsterInstance, config: dict[str, Any]
) -> None:
    """A backfill's configuration is not looked at before its runs: they fail, and are kept as not sending."""
    wrong = run_of(instance, "FAILURE", {"dagster/partition": "2025-03-01"}, run_config=config)

    tick(world, instance, "failed_runs")

    found = kept(world, wrong.run_id)
    assert found is not None
    assert not found.applied


def test_a_run_of_some_steps_leaves_no_red_day(world: Rehearsal, instance: dg.DagsterInstance) -> None:
    """A click on one asset came through: its day neither failed nor is asked for again."""
    run = run_of(instance, "SUCCESS", {"dagster/partition": "2025-03-01"})
    with pipeline_of(world) as pipeline:
        summary.start(pipeline, run.run_id, scope_of(["2025-03-01"], {}), applied=False)

    tick(world, instance, "failed_runs")

    found = kept(world, run.run_id)
    assert found is not None
    assert found.outcome is Outcome.DONE
    with world.ledger() as ledger, ledger.read() as connection:
        assert failed_days(connection) == []


def test_a_run_of_another_dagster_is_given_up_after_a_day(
    world: Rehearsal, instance: dg.DagsterInstance
) -> None:
    """A run that this Dagster does not know may still run elsewhere; after a day nobody waits for it."""
    begin(world, "elsewhere")
    tick(world, instance, "failed_runs")
    before = kept(world, "elsewhere")
    world.later(timedelta(days=1, minutes=1))

    tick(world, instance, "failed_runs")

    after = kept(world, "elsewhere")
    assert before is not None
    assert after is not None
    assert (before.outcome, after.outcome) == (Outcome.RUNNING, Outcome.FAULT)


def test_a_tick_that_fails_shows_no_secret(world: Rehearsal, instance: dg.DagsterInstance) -> None:
    """What a tick that went wrong leaves in Dagster has no text of a foreign error."""
    with world.ledger() as ledger, ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE reconciliation_days")

    with pytest.raises(dg.Failure) as raised:
        tick(world, instance, "dirty_days")

    assert "OperationalError" in str(raised.value.description)
    assert "reconciliation_days" not in str(raised.value.description)
    assert raised.value.__suppress_context__
