"""Runs the Dagster job from the command: in this process, on the pipeline that it is given."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import uuid4

import dagster as dg
import yaml
from filelock import FileLock

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import RECONCILIATION, Run, find_run
from ucred_pipeline.orchestration import summary
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.liveness import alive, end_dead_runs
from ucred_pipeline.orchestration.partitions import SCOPE_TAG, scope_tag, today
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import data_folder

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_SETTINGS = "dagster.yaml"
_BY_HAND: Final = "by_hand.yaml"
#: The settings as they were put into a home: whoever changed them there keeps what is there.
_SHIPPED = ".dagster.yaml.shipped"


def reconcile(definitions: dg.Definitions, pipeline: Pipeline, days: Days, *, apply: bool) -> Run:
    """Run the job once over the days, or over all that is open; say how it ended from the ledger."""
    run_id = str(uuid4())
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with _history() as instance, alive(instance.root_directory, run_id):
        end_dead_runs(instance)
        definitions.resolve_job_def(RECONCILIATION).execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            resources={"pipeline": pipeline},
            run_config=may_send(apply=apply) | _QUIET,
            partition_key=today(pipeline.clock.now()),
            tags={SCOPE_TAG: scope_tag(days)},
        )
    return _ended(pipeline, run_id)


def _ended(pipeline: Pipeline, run_id: str) -> Run:
    with pipeline.ledger.read() as connection:
        run = find_run(connection, run_id)
    if run is None:
        raise LookupError(f"the run {run_id} left nothing in the ledger")
    if run.outcome is Outcome.RUNNING:
        summary.fail(
            pipeline, run_id, Outcome.FAULT, "the run stopped before its end; see Dagster's log of it"
        )
        return _ended(pipeline, run_id)
    return run


@contextmanager
def _history() -> Iterator[dg.DagsterInstance]:
    """Open Dagster's history, one process at a time: two that both find no tables would both make them."""
    home = dagster_home()
    with FileLock(home / ".opening.lock"):
        _put_settings_by_hand(home)
        opened = dg.DagsterInstance.from_config(str(home), _BY_HAND)
    with opened as instance:
        yield instance


def _put_settings_by_hand(home: Path) -> None:
    """Put the settings of a run by hand there: Dagster's own, but for the pools, of which it takes no place.

    Without a daemon a place that somebody waits for may never be given. What a pool is for holds all the
    same: the ledger lets one process send, and another one is told so at once.
    """
    settings = yaml.safe_load(_text(home / _SETTINGS)) or {}
    pools = settings.setdefault("concurrency", {}).setdefault("pools", {})
    pools["granularity"] = "run"
    (home / _BY_HAND).write_text(yaml.safe_dump(settings), encoding="utf-8")


def dagster_home() -> Path:
    """Where Dagster keeps its history: DAGSTER_HOME, or the user's own folder; its settings are put there."""
    home = Path(os.environ.get("DAGSTER_HOME") or data_folder() / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    _put_settings(home)
    return home


def _put_settings(home: Path) -> None:
    """Put our settings there, also newer ones; what a person has changed there stays."""
    settings, shipped, ours = home / _SETTINGS, home / _SHIPPED, _dagster_settings()
    if settings.exists() and (not shipped.exists() or _text(settings) != _text(shipped)):
        return
    for file in (settings, shipped):
        if not file.exists() or _text(file) != ours:
            file.write_text(ours, encoding="utf-8")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _dagster_settings() -> str:
    """Read dagster.yaml: from the wheel, or from the root of a checkout."""
    packaged = files("ucred_pipeline.orchestration") / _SETTINGS
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / _SETTINGS).read_text(encoding="utf-8")
