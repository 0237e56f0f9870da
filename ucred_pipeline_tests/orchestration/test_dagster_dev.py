"""`dagster dev` in the project's root: it comes up by the environment alone, and its runs credit."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx
import pytest

from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.test_definitions import ASSETS, CHECKS

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
_STATUS: Final = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_LOADED: Final = """
{ repositoriesOrError { ... on RepositoryConnection {
    nodes { name location { name } schedules { name scheduleState { status } } } } } }
"""
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

    def launch(self, params: dict[str, Any]) -> str:
        """Launch a run, and give its id."""
        launched = self.ask(_LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def status(self, run: str) -> str:
        """The status of a run."""
        return str(self.ask(_STATUS, run=run)["runOrError"]["status"])


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


@pytest.mark.timeout(180)
def test_a_run_from_the_ui(rehearse: Rehearse, tmp_path: Path) -> None:
    """It comes up with its schedule; a partition's run credits, and leaves materializations and checks."""
    world = rehearse(real_time=True, purchases=40, special_cases=False, lacking_share=0.1)
    home = tmp_path / "dagster home"
    home.mkdir()

    with dagster_dev(world, home) as webserver:
        (repository,) = wait_for(webserver.loaded)
        assert repository["location"]["name"] == "ucred_pipeline"
        states = {found["name"]: found["scheduleState"]["status"] for found in repository["schedules"]}
        assert states == {"reconciliation_schedule": "RUNNING"}
        chosen = next(iter(world.sandbox.truth.to_credit.values()))
        day = f"{world.sandbox.world.purchases[chosen.payment_intent].created.astimezone(UTC):%Y-%m-%d}"
        run = webserver.launch(_params(repository["name"], day))
        status = wait_for(lambda: (found := webserver.status(run)) in _ENDS and found)

    assert status == "SUCCESS"
    assert chosen.namespace in world.sent()
    assert max(world.sent().values()) == 1
    made = kept(home, run, dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert {event.asset_key.to_user_string() for event in made if event.asset_key} == ASSETS
    assert {event.partition for event in made} == {day}
    checked = [event.asset_check_evaluation_data for event in kept(home, run, _CHECKED)]
    assert {(found.asset_key.to_user_string(), found.check_name) for found in checked} == CHECKS
    assert {found.check_name for found in checked if not found.passed} <= {
        "mint_success_rate",
        "mint_latency",
    }
    files = [path.read_bytes().decode(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert world.secrets_in("".join(files)) == []


_CHECKED: Final = dg.DagsterEventType.ASSET_CHECK_EVALUATION


def _params(repository: str, day: str) -> dict[str, Any]:
    return {
        "selector": {
            "repositoryLocationName": "ucred_pipeline",
            "repositoryName": repository,
            "jobName": "reconciliation",
        },
        "runConfigData": may_send(),
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
    }
