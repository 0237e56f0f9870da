"""`ucred reconcile`: one run of the reconciliation."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ucred_pipeline.cli.exits import exit_of
from ucred_pipeline.cli.opening import opened, require_sources
from ucred_pipeline.cli.options import AS_JSON
from ucred_pipeline.cli.terminal import progress, say, show, typable
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Run

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.pipeline import Pipeline


class Day(click.ParamType[date]):
    """A UTC day, `YYYY-MM-DD`."""

    name = "DAY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read the day."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            self.fail(f'"{value}" is not a day; write it as YYYY-MM-DD, for example 2026-01-31', param, ctx)


@click.command()
@click.option("--from", "since", type=Day(), help="Plan for payments created on this UTC day or later.")
@click.option("--to", "until", type=Day(), help="Plan for payments created on this UTC day or earlier.")
@click.option("--apply", is_flag=True, help="Send the credits; without it the run plans and sends nothing.")
@AS_JSON
@click.pass_context
def reconcile(
    context: click.Context, since: date | None, until: date | None, *, apply: bool, as_json: bool
) -> int:
    """Run the reconciliation once: read, judge, plan, and with --apply credit what lacks.

    Without days it plans for all that is open. Judging always looks at every purchase of an account.
    """
    days = _days(since, until)
    with opened(context, begins=True) as pipeline:
        run = run_once(pipeline, days, apply=apply)
        _show_run(run, context.obj, as_json=as_json)
    return exit_of(run.outcome)


def _days(since: date | None, until: date | None) -> Days:
    today = datetime.now(UTC).date()
    if since and until and since > until:
        raise click.BadParameter(f"{since} is after {until}; --from comes before --to", param_hint="--from")
    if since and since > today:
        raise click.BadParameter(f"{since} has not begun yet (UTC)", param_hint="--from")
    last = min(until, today) if until else None
    return Days(
        since=datetime.combine(since, time(), UTC) if since else None,
        until=datetime.combine(last, time(), UTC) + timedelta(days=1) if last else None,
    )


def run_once(pipeline: "Pipeline", days: Days, *, apply: bool) -> Run:
    """Run the job over some days, and show on a terminal how far it is."""
    require_sources(pipeline, apply=apply)
    with progress("Starting ...") as tell:
        from ucred_pipeline.definitions import defs  # noqa: PLC0415 - Dagster takes a second to import
        from ucred_pipeline.orchestration import running  # noqa: PLC0415

        return running.reconcile(defs, pipeline.telling(tell), days, apply=apply)


def _show_run(run: Run, env_file: Path | None, *, as_json: bool) -> None:
    """Print the run's document; a run that decided nothing has none, and says why."""
    from ucred_pipeline.reporting.runs import render  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(run.summary or None))
    elif run.summary:
        show(render(run), env_file)
    if run.detail:
        say(typable(run.detail, env_file))
