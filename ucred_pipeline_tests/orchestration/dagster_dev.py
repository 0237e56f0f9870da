"""A real `dagster dev` in the project's root, on a rehearsal, and what it is asked by GraphQL."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import dagster as dg
import httpx

from ucred_pipeline.orchestration.jobs import RECONCILIATION, may_send
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

ROOT: Final = Path(__file__).parents[2]
_EXECUTABLE: Final = Path(sys.executable).with_name("dagster.exe" if os.name == "nt" else "dagster")
_LAUNCH: Final = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_TERMINATE: Final = """
mutation Terminate($run: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $run, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message }
  }
}
"""
_STATUS: Final = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_LOADED: Final = """
{ repositoriesOrError { ... on RepositoryConnection {
    nodes { name location { name } schedules { name scheduleState { status } } } } } }
"""
_STARTERS: Final = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    schedules { scheduleState { id status } } sensors { sensorState { id status } } } } } }
"""
_STOP_SCHEDULE: Final = "mutation Stop($id: String!) { stopRunningSchedule(id: $id) { __typename } }"
_STOP_SENSOR: Final = "mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"
_ENDS: Final = {"SUCCESS", "FAILURE", "CANCELED"}


class Webserver:
    """Asks Dagster's GraphQL."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask, and give the data of the answer."""
        body = {"query": query, "variables": variables}
        answer = httpx.post(self._address, json=body, timeout=30, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def loaded(self) -> list[Any]:
        """The repositories that have been loaded; none while it is coming up."""
        try:
            return list(self.ask(_LOADED)["repositoriesOrError"].get("nodes", []))
        except httpx.TransportError:
            return []

    def launch(self, day: str, tags: Mapping[str, str] = MappingProxyType({})) -> str:
        """Launch the reconciliation of a day, which may send, and give the run's id."""
        (repository,) = self.loaded()
        told = {"dagster/partition": day, **tags}
        params = {
            "selector": {
                "repositoryLocationName": repository["location"]["name"],
                "repositoryName": repository["name"],
                "jobName": RECONCILIATION,
            },
            "runConfigData": may_send(),
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in told.items()]},
        }
        launched = self.ask(_LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def let_nothing_start_by_itself(self) -> None:
        """Stop every schedule and sensor that runs."""
        (repository,) = self.ask(_STARTERS)["repositoriesOrError"]["nodes"]
        schedules = [found["scheduleState"] for found in repository["schedules"]]
        sensors = [found["sensorState"] for found in repository["sensors"]]
        for states, stop in ((schedules, _STOP_SCHEDULE), (sensors, _STOP_SENSOR)):
            for state in states:
                if state["status"] == "RUNNING":
                    self.ask(stop, id=state["id"])
        assert "RUNNING" not in str(self.ask(_STARTERS))

    def status(self, run: str) -> str:
        """The status of a run."""
        return str(self.ask(_STATUS, run=run)["runOrError"]["status"])

    def end_of(self, run: str) -> str:
        """Wait for the end of a run, and give its status."""
        return str(wait_for(lambda: (found := self.status(run)) in _ENDS and found, 120))

    def terminate(self, run: str, policy: str) -> None:
        """Terminate a run as somebody does by a click."""
        terminated = self.ask(_TERMINATE, run=run, policy=policy)["terminateRun"]
        assert terminated["__typename"] == "TerminateRunSuccess", terminated


@contextmanager
def dagster_dev(world: Rehearsal, home: Path) -> Iterator[Webserver]:
    """Run `dagster dev` on a rehearsal, from the project's root, and stop it cleanly."""
    shutil.copy(ROOT / "dagster.yaml", home)
    port = _free_port()
    # In a group of its own where there are such, so that nothing of it outlives the test.
    process = subprocess.Popen(
        [str(_EXECUTABLE), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
        cwd=ROOT,
        env=os.environ | world.variables | {"DAGSTER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Webserver(port)
        process.terminate()
        process.wait(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(asked: Callable[[], Any], seconds: float = 60) -> Any:
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
