"""Dagster's daemon and webserver, really started: runs, backfills, an outage, and two daemons.

One rehearsal and one history for the whole module; the tests go one after the other.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.runs import find_run, running_runs
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.test_definitions import ASSETS, CHECKS
from ucred_pipeline_tests.orchestration.webserver import (
    LOCATION,
    RANGE,
    REPOSITORY,
    Webserver,
    an_hour_passes,
    dagster_dev,
    kept,
    kill_servers,
    put_settings,
    second_daemon,
    wait_for,
)

pytestmark = pytest.mark.timeout(900)
_JOB: Final = "reconciliation"
#: Events of an hour ago are followed: the purchases of the outage are told as late as that.
_RULES: Final = "[stripe]\nevents_overlap_s = 7200\n"
_CHECKED: Final = dg.DagsterEventType.ASSET_CHECK_EVALUATION
_MADE: Final = dg.DagsterEventType.ASSET_MATERIALIZATION


@dataclass
class Operated:
    """A rehearsal with Dagster on it, which can be stopped and started again."""

    world: Rehearsal
    home: Path
    server: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start the servers."""
        self.web, self.process = self.server.enter_context(dagster_dev(self.world, self.home))
        wait_for(self.web.loaded)

    web: Webserver = field(init=False)
    process: Any = field(init=False)

    @property
    def owed_days(self) -> list[str]:
        """The days on which something lacks, or lacked, oldest first."""
        purchases = self.world.sandbox.world.purchases
        made = (purchases[name].created.astimezone(UTC) for name in self.world.sandbox.truth.to_credit)
        return sorted({f"{moment:%Y-%m-%d}" for moment in made})


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A rehearsal on which Dagster has come up."""
    folder = tmp_path_factory.mktemp("operated")
    home = folder / "dagster home"
    put_settings(home)
    spec = SandboxSpec(purchases=80, special_cases=False, lacking_share=0.15, lost_answers=0)
    with Rehearsal(folder, spec, rules=_RULES, real_time=True) as world:
        operated = Operated(world, home)
        with operated.server:
            operated.start()
            yield operated


def test_it_comes_up(operated: Operated) -> None:
    """The environment is enough; every schedule and sensor runs without being switched on."""
    (repository,) = operated.web.loaded()

    assert (repository["name"], repository["location"]["name"]) == (REPOSITORY, LOCATION)
    states = {found["name"]: found["scheduleState"]["status"] for found in repository["schedules"]}
    states |= {found["name"]: found["sensorState"]["status"] for found in repository["sensors"]}
    assert states == dict.fromkeys(
        [
            "reconciliation_schedule",
            "housekeeping_schedule",
            "due_retries",
            "dirty_days",
            "failed_runs",
            "alerts_sensor",
        ],
        "RUNNING",
    )


def test_a_run_from_the_ui(operated: Operated) -> None:
    """A partition's run credits its day, and leaves materializations, checks and no secret."""
    world, day = operated.world, operated.owed_days[-1]

    run = operated.web.launch(_JOB, may_send(), **{"dagster/partition": day})

    assert operated.web.end_of(run) == "SUCCESS"
    assert operated.world.owed_on([day]) <= set(world.sent())
    assert max(world.sent().values()) == 1
    made = kept(operated.home, run, _MADE)
    assert {event.asset_key.to_user_string() for event in made if event.asset_key} == ASSETS
    assert {event.partition for event in made} == {day}
    checked = [event.asset_check_evaluation_data for event in kept(operated.home, run, _CHECKED)]
    assert {(found.asset_key.to_user_string(), found.check_name) for found in checked} == CHECKS
    assert {found.check_name for found in checked if not found.passed} <= {
        "mint_success_rate",
        "mint_latency",
    }
    files = [
        path.read_bytes().decode(errors="replace") for path in operated.home.rglob("*") if path.is_file()
    ]
    assert world.secrets_in("".join(files)) == []


def test_a_backfill_of_thirty_days_in_a_single_run(operated: Operated) -> None:
    """As the UI launches it: what lacks in the range is credited once, and each day is made, and checked."""
    last = date.fromisoformat(operated.owed_days[-2])
    days = [f"{last - timedelta(days=back)}" for back in range(29, -1, -1)]
    bounds = dict(zip(RANGE, (days[0], days[-1]), strict=True))

    run = operated.web.launch(_JOB, may_send(), **bounds)

    assert operated.web.end_of(run) == "SUCCESS"
    assert operated.world.owed_on(days) <= set(operated.world.sent())
    assert max(operated.world.sent().values()) == 1
    made = {(event.asset_key, event.partition) for event in kept(operated.home, run, _MADE)}
    assert made == {(dg.AssetKey(asset), day) for asset in ASSETS for day in days}
    history = operated.web.checked("purchases_lacking_ucred", "plan_within_limits")
    assert run in {found["runId"] for found in history if found["status"] == "SUCCEEDED"}
    assert "FAILED" not in {found["status"] for found in history}


def test_a_backfill_beside_other_runs(operated: Operated) -> None:
    """One run a day, beside a run over all that is open and one of its own days: each is credited once."""
    days = operated.owed_days[:2]
    backfill = operated.web.backfill(days, may_send())
    others = [operated.web.launch(_JOB, may_send(), **{"dagster/partition": day}) for day in days[:1]]
    tags = {"dagster/partition": days[0], SCOPE_TAG: ALL_OPEN}
    others.append(operated.web.launch(_JOB, may_send(), **tags))

    def completed() -> dict[str, Any] | None:
        found = operated.web.progress(backfill)
        return found if found["status"] != "REQUESTED" else None

    progress = wait_for(completed, 400)

    assert progress["status"] == "COMPLETED_SUCCESS"
    assert progress["partitionStatusCounts"] == [{"runStatus": "SUCCESS", "count": 2}]
    assert {operated.web.end_of(run) for run in others} == {"SUCCESS"}
    assert operated.world.sent() == operated.world.owed()


def test_an_outage_of_an_hour_heals(operated: Operated) -> None:
    """A run outlives its servers; what happened meanwhile the next tick credits, once, with two daemons."""
    world = operated.world
    world.sandbox.faults.set("indexer-latency", "2")
    outliving = operated.web.launch(_JOB, may_send(), **{"dagster/partition": operated.owed_days[0]})
    wait_for(lambda: operated.web.status(outliving) == "STARTED")
    (alive, *_) = kill_servers(operated.process)
    world.sandbox.faults.clear()
    for _ in range(3):
        world.sandbox.purchase("lacking_indexer_down", age=timedelta(hours=1))
    alive.wait(timeout=200)
    an_hour_passes(operated.home)

    operated.start()
    with second_daemon(world, operated.home):
        schedule = {"dagster/schedule_name": "reconciliation_schedule"}
        ticked = wait_for(lambda: operated.web.runs(**schedule))
        assert operated.web.end_of(ticked[-1]["runId"]) == "SUCCESS"
        wait_for(lambda: world.sent() == world.owed(), 200)
        runs = wait_for(lambda: all_ended(operated.web.runs(**schedule)))

    assert {run["status"] for run in runs} == {"SUCCESS"}
    assert world.sent() == world.owed()
    assert operated.web.status(outliving) == "SUCCESS"
    with world.ledger() as ledger, ledger.read() as connection:
        told = find_run(connection, outliving)
        assert told is not None
        assert told.outcome is Outcome.DONE
        assert running_runs(connection) == []


def all_ended(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, once they have all ended."""
    return runs if all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs) else []
