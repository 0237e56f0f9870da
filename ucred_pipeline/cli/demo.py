"""`ucred demo`: a sandbox that is reconciled, and a picture of what was put right."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ucred_pipeline.cli.exits import Exit, exit_of
from ucred_pipeline.cli.reconcile import run_once
from ucred_pipeline.cli.terminal import say, show
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Run

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.pipeline import Pipeline


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the demo keeps its sandbox and its ledger  [default: the user's data folder]",
)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same history.")
@click.option(
    "--purchases",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="How many purchases the history has.",
)
def demo(folder: Path | None, seed: int, purchases: int) -> int:
    """Start a sandbox, reconcile it, and show what was found and put right. Touches nothing else."""
    from ucred_pipeline.orchestration.opening import open_pipeline  # noqa: PLC0415
    from ucred_pipeline.settings import data_folder  # noqa: PLC0415

    place = (folder or data_folder() / "demo").resolve()
    place.mkdir(parents=True, exist_ok=True)
    with _sandbox(place, seed, purchases) as env_file, open_pipeline(env_file) as pipeline:
        os.environ["DAGSTER_HOME"] = str(place / "dagster")
        run = run_once(pipeline, Days(), apply=True)
        _show_demo(pipeline, run, env_file)
    return exit_of(run.outcome) if run.outcome in {Outcome.FAULT, Outcome.SOURCE_UNREADABLE} else Exit.DONE


@contextmanager
def _sandbox(place: Path, seed: int, purchases: int) -> Iterator[Path]:
    """Start a fresh world, with a fresh ledger, and write down how to reach both."""
    from ucred_pipeline.sandbox import Sandbox, SandboxSpec  # noqa: PLC0415
    from ucred_pipeline.sandbox.command import dotenv_line  # noqa: PLC0415

    for name in ("dagster", "world"):
        shutil.rmtree(place / name, ignore_errors=True)
    for left in place.glob("ledger.db*"):
        left.unlink()
    (place / "world").mkdir()
    (place / "ucred.toml").write_text("# The demo runs with the defaults.\n", encoding="utf-8")
    with Sandbox(SandboxSpec(seed=seed, purchases=purchases), folder=place / "world") as world:
        settings = world.environment() | {
            "UCRED_DATABASE_URL": f"sqlite:///{(place / 'ledger.db').as_posix()}",
            "UCRED_CONFIG": str(place / "ucred.toml"),
        }
        env_file = place / "demo.env"
        lines = (dotenv_line(name, value) for name, value in settings.items())
        env_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield env_file


def _show_demo(pipeline: "Pipeline", run: Run, env_file: Path) -> None:
    from ucred_pipeline.reporting.picture import explained, picture  # noqa: PLC0415

    if not run.summary:
        say(run.detail)
        return
    with pipeline.ledger.read() as connection:
        now, rules = pipeline.clock.now(), pipeline.settings.rules
        name = explained(connection, run)
        commands = [
            ("ucred breaks", "everything that needs a person, oldest first"),
            (f"ucred explain {name}", "all that is known of one purchase"),
        ]
        show(picture(connection, run, now, rules, commands), env_file)
