"""Sandboxes that were reconciled once, and the ledgers that they left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Run
from ucred_pipeline.orchestration import crediting, judgement, reading, summary
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.settings import load_settings


@dataclass(frozen=True, slots=True)
class World:
    """A sandbox, and the pipeline that has reconciled it."""

    sandbox: Sandbox
    pipeline: Pipeline
    run: Run


@contextmanager
def opened(sandbox: Sandbox, folder: Path, **variables: str) -> Iterator[Pipeline]:
    """Open a pipeline on a sandbox; an empty variable is one that is not set."""
    ledger = {"UCRED_DATABASE_URL": f"sqlite:///{(folder / 'ledger.db').as_posix()}"}
    environ = sandbox.environment() | ledger | variables
    settings = load_settings(environ={name: value for name, value in environ.items() if value})
    with Ledger.open(settings.ledger_url) as opened_ledger:
        yield Pipeline(settings, opened_ledger, SystemClock())


@contextmanager
def reconciled(folder: Path, spec: SandboxSpec, *, rules: str = "", apply: bool = True) -> Iterator[World]:
    """Start a sandbox and run the pipeline on it once."""
    config = folder / "ucred.toml"
    config.write_text(rules, encoding="utf-8")
    with (
        Sandbox(spec, folder=folder / "a world") as sandbox,
        opened(sandbox, folder, UCRED_CONFIG=str(config)) as pipeline,
    ):
        yield World(sandbox, pipeline, run_once(pipeline, apply=apply))


def run_once(pipeline: Pipeline, run_id: str = "run-1", *, apply: bool = True) -> Run:
    """Read, judge, plan and, if it may, credit."""
    summary.start(pipeline, run_id, Days(), applied=apply)
    reading.read_stripe(pipeline, run_id, Days())
    reading.read_issuances(pipeline, run_id)
    reading.read_balances(pipeline, run_id)
    reading.read_evidence(pipeline, run_id)
    crediting.settle(pipeline, run_id)
    judgement.judge_marked(pipeline)
    planned = crediting.plan(pipeline, run_id, Days())
    if apply:
        credited = crediting.carry_out(pipeline, run_id, planned)
    else:
        credited = crediting.would_credit(pipeline, planned)
    judgement.judge_marked(pipeline)
    plan = planned.newest.hash if planned.newest else None
    return summary.finish(pipeline, run_id, credited, plan)


def shown(content: RenderableType, width: int = 80) -> str:
    """Give what a terminal without colours shows."""
    written = StringIO()
    Console(file=written, width=width).print(content)
    return written.getvalue()


def words(content: RenderableType) -> str:
    """Give what a terminal shows, without its line breaks."""
    return " ".join(shown(content).split())
