"""What Dagster is told: the names of the contract, and what starts by itself."""

import os
import re
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ucred_pipeline.definitions import defs
from ucred_pipeline.ledger.alerts import last_look
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.orchestration.alerting import alerts_sensor
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG

ROOT = Path(__file__).parents[2]
ASSETS = {
    "stripe_payments",
    "issuance_records",
    "indexer_balances",
    "mint_evidence",
    "purchases",
    "purchases_lacking_ucred",
    "corrective_credits",
    "mint_metrics",
}
#: Every check by its asset; those that block what follows.
CHECKS = {
    ("stripe_payments", "read_whole"),
    ("issuance_records", "read_whole"),
    ("indexer_balances", "read_whole"),
    ("indexer_balances", "indexer_remembers"),
    ("mint_evidence", "read_whole"),
    ("purchases_lacking_ucred", "plan_within_limits"),
    ("mint_metrics", "mint_success_rate"),
    ("mint_metrics", "mint_latency"),
    ("mint_metrics", "retry_queue"),
    ("mint_metrics", "over_credits"),
    ("mint_metrics", "doubts_by_age"),
    ("mint_metrics", "no_red_day"),
}


def test_they_load() -> None:
    """Dagster accepts the definitions."""
    dg.Definitions.validate_loadable(defs)


def test_they_load_without_any_setting(tmp_path: Path) -> None:
    """The code location loads, as workspace.yaml names it, where not one variable is set, from any folder."""
    workspace = (ROOT / "workspace.yaml").read_text(encoding="utf-8")
    (module,) = re.findall(r"module_name: (\S+)", workspace)
    needed = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}

    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import dagster as dg, {module} as m; dg.Definitions.validate_loadable(m.defs)",
        ],
        capture_output=True,
        encoding="utf-8",
        env=needed,
        cwd=tmp_path,
        check=False,
    )

    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_assets() -> None:
    """The assets have the names of the contract, a description each, and days as partitions."""
    graph = defs.resolve_asset_graph()

    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == ASSETS
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        assert node.description


def test_the_checks() -> None:
    """Each asset has its checks; those of a source and of the plan's limits block what follows."""
    graph = defs.resolve_asset_graph()
    specs = {
        (key.asset_key.to_user_string(), key.name): graph.get_check_spec(key)
        for key in graph.asset_check_keys
    }

    assert set(specs) == CHECKS
    blocking = {name for name, spec in specs.items() if spec.blocking}
    assert blocking == {name for name in CHECKS if name[1] in {"read_whole", "plan_within_limits"}}


def test_the_job_and_its_order() -> None:
    """The job has every asset, and nothing is credited before everything was read, judged and planned."""
    graph = defs.resolve_asset_graph()
    job = defs.resolve_job_def("reconciliation")

    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == ASSETS
    before = graph.get_ancestor_asset_keys(dg.AssetKey("corrective_credits"))
    assert {key.to_user_string() for key in before} == ASSETS - {"corrective_credits", "mint_metrics"}


def test_the_schedule(lasting_instance: dg.DagsterInstance) -> None:
    """Every quarter of an hour, by default and in UTC, a run over all that is open may send."""
    schedule = defs.resolve_schedule_def("reconciliation_schedule")
    at = datetime(2026, 2, 3, 0, 0, tzinfo=UTC)

    with dg.build_schedule_context(
        instance=lasting_instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
    ) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []

    assert schedule.cron_schedule == "*/15 * * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "reconciliation"
    assert request.partition_key == "2026-02-03"
    assert request.tags[SCOPE_TAG] == ALL_OPEN
    assert request.run_config == {"ops": {"corrective_credits": {"config": {"apply": True}}}}


def test_the_alerts_sensor() -> None:
    """Every minute, by default, somebody looks whether an alert is due; no run is started."""
    sensor = defs.resolve_sensor_def("alerts_sensor")

    assert sensor.minimum_interval_seconds == 60
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.targets == []


def test_the_alerts_sensor_ticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of the sensor as it is wired looks at the ledger, starts no run, and leaves when it looked."""
    url = f"sqlite:///{(tmp_path / 'ledger.db').as_posix()}"
    monkeypatch.setenv("UCRED_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)

    wired = {"alert_desk": (defs.resources or {})["alert_desk"]}
    with dg.build_sensor_context(resources=wired) as context:
        tick = defs.resolve_sensor_def("alerts_sensor").evaluate_tick(context)

    assert (tick.run_requests, tick.skip_message) == ([], "0 alerts fire.")
    with Ledger.open(url) as ledger, ledger.read() as connection:
        assert last_look(connection) is not None


class BrokenDesk:
    """A desk whose error holds a secret."""

    def tend(self, within_s: float) -> str:
        """Fail."""
        raise OSError(f"slack://T0KEN within {within_s}")


def test_a_tick_that_fails_tells_no_secret() -> None:
    """What Dagster keeps of a failed tick says where it failed, and not the text of the error."""
    with (
        dg.build_sensor_context(resources={"alert_desk": BrokenDesk()}) as context,
        pytest.raises(dg.Failure) as caught,
    ):
        alerts_sensor(context)

    told = "".join(traceback.format_exception(caught.value))
    assert "OSError at test_definitions.py" in told
    assert "T0KEN within 45" not in told
