"""Dagster's webserver and daemon, really started on a rehearsal, and asked over GraphQL as the UI asks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx
import psutil

from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.ports import free_port

ROOT: Final = Path(__file__).parents[2]
LOCATION: Final = "ucred_pipeline"
REPOSITORY: Final = "__repository__"
ENDS: Final = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
#: The tags by which the UI asks for a range of partitions in a single run.
RANGE: Final = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")

_LAUNCH: Final = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_BACKFILL: Final = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_PROGRESS: Final = """
query Progress($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status numPartitions partitionStatusCounts { runStatus count } }
  }
}
"""
_RUNS: Final = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter) { ... on Runs { results { runId jobName status tags { key value } } } }
}
"""
_TERMINATE: Final = """
mutation End($run: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $run, terminatePolicy: $policy) { __typename }
}
"""
_STATUS: Final = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_LOADED: Final = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    name location { name }
    schedules { name scheduleState { id status } }
    sensors { name sensorState { id status } } } } } }
"""
_STOP_SCHEDULE: Final = "mutation Stop($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
_STOP_SENSOR: Final = "mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"
_CHECKED: Final = """
query Checked($asset: AssetKeyInput!, $check: String!) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, limit: 100) {
    runId status evaluation { severity }
  }
}
"""

#: A queued run starts within a second, not within five.
_AT_ONCE: Final = """
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""


class Webserver:
    """Asks Dagster's GraphQL."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask, and give the data of the answer."""
        body = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.address}/graphql", json=body, timeout=900, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def loaded(self) -> list[Any]:
        """The repositories that have been loaded; none while it is coming up."""
        try:
            return list(self.ask(_LOADED)["repositoriesOrError"].get("nodes", []))
        except httpx.TransportError:
            return []

    def let_nothing_start_by_itself(self) -> None:
        """Stop every schedule and sensor that runs."""
        (repository,) = self.loaded()
        schedules = [found["scheduleState"] for found in repository["schedules"]]
        sensors = [found["sensorState"] for found in repository["sensors"]]
        for states, stop in ((schedules, _STOP_SCHEDULE), (sensors, _STOP_SENSOR)):
            for state in states:
                if state["status"] == "RUNNING":
                    self.ask(stop, id=state["id"])
        assert "RUNNING" not in str(self.loaded())

    def launch(self, job: str, config: dict[str, Any], **tags: str) -> str:
        """Launch a run, and give its id."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "pipelineName": job,
        }
        told = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "runConfigData": config, "mode": "default", "executionMetadata": told}
        launched = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def backfill(self, days: Sequence[str], config: dict[str, Any]) -> str:
        """Launch a backfill of the job, one run a day, and give its id."""
        chosen = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        params = {
            "selector": {"partitionSetName": "reconciliation_partition_set", "repositorySelector": chosen},
            "partitionNames": list(days),
            "runConfigData": config,
            "fromFailure": False,
            "tags": [],
        }
        launched = self.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def progress(self, backfill: str) -> dict[str, Any]:
        """How far a backfill has come."""
        return dict(self.ask(_PROGRESS, id=backfill)["partitionBackfillOrError"])

    def status(self, run: str) -> str:
        """The status of a run."""
        return str(self.ask(_STATUS, run=run)["runOrError"]["status"])

    def terminate(self, run: str, policy: str = "SAFE_TERMINATE") -> None:
        """Terminate a run as somebody does by a click."""
        terminated = self.ask(_TERMINATE, run=run, policy=policy)["terminateRun"]
        assert terminated["__typename"] == "TerminateRunSuccess", terminated

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """The runs with these tags, newest first."""
        chosen = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        return list(self.ask(_RUNS, filter=chosen)["runsOrError"]["results"])

    def checked(self, asset: str, check: str) -> list[dict[str, Any]]:
        """The history of a check, newest first."""
        return list(self.ask(_CHECKED, asset={"path": [asset]}, check=check)["assetCheckExecutions"])

    def end_of(self, run: str, seconds: float = 300) -> str:
        """How a run ended, once it has."""
        return str(wait_for(lambda: (found := self.status(run)) in ENDS and found, seconds))


def put_settings(home: Path) -> None:
    """Give Dagster the project's own settings, but for how often it looks at its queue."""
    home.mkdir()
    ours = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(ours + _AT_ONCE, encoding="utf-8")


@contextmanager
def dagster_dev(world: Rehearsal, home: Path) -> Iterator[tuple[Webserver, "subprocess.Popen[bytes]"]]:
    """Run `dagster dev` on a rehearsal, from the project's root, and stop it cleanly, if it still runs."""
    port = free_port()
    options = ["dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with _process("dagster", options, world, home) as process:
        yield Webserver(f"http://127.0.0.1:{port}"), process


@contextmanager
def second_daemon(world: Rehearsal, home: Path) -> Iterator[None]:
    """Run one more daemon on the same history, by mistake."""
    with _process("dagster-daemon", ["run", "-w", "workspace.yaml"], world, home):
        yield


@contextmanager
def _process(
    name: str, arguments: Sequence[str], world: Rehearsal, home: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    executable = Path(sys.executable).with_name(f"{name}.exe" if os.name == "nt" else name)
    process = subprocess.Popen(
        [str(executable), *arguments],
        cwd=ROOT,
        env=os.environ | world.variables | {"DAGSTER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
        process.terminate()
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            _kill_whole(process)


def _kill_whole(process: "subprocess.Popen[bytes]") -> None:
    """Leave nothing behind that would go on with the history of a test."""
    parent = psutil.Process(process.pid)
    for one in [*parent.children(recursive=True), parent]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def kill_servers(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Kill Dagster's servers at once, as a crash would; give the processes of runs, which live on."""
    whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    of_runs = [one for one in whole if _says(one, "multiprocessing")]
    for one in whole:
        if one not in of_runs:
            one.kill()
    process.wait()
    return [one for one in of_runs if _says(one, "spawn_main")]


def _says(process: psutil.Process, text: str) -> bool:
    return any(text in part for part in process.cmdline())


def wait_for(asked: Callable[[], Any], seconds: float = 200) -> Any:
    """Ask until there is something, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := asked()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)
    return found


def kept(home: Path, run: str, of_type: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    """What Dagster kept of a run."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.get_records_for_run(run, of_type=of_type).records
    events = (record.event_log_entry.dagster_event for record in records)
    return [event for event in events if event is not None]


def an_hour_passes(home: Path) -> None:
    """Let the schedule have been looked at last an hour ago."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for state in instance.all_instigator_state():
            if state.instigator_name == "reconciliation_schedule":
                instance.purge_ticks(state.instigator_origin_id, state.selector_id, time.time())
                ago = time.time() - 3600
                data: Any = state.instigator_data
                aged = data._replace(start_timestamp=ago, last_iteration_timestamp=ago)
                instance.update_instigator_state(state.with_data(aged))
