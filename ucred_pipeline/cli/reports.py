"""The commands that tell and change nothing: `breaks`, `explain`, `status`, `verify` and `doctor`."""

import json
import re
from functools import partial

import click

from ucred_pipeline.cli.exits import Exit
from ucred_pipeline.cli.opening import opened
from ucred_pipeline.cli.options import AS_JSON
from ucred_pipeline.cli.terminal import progress, show
from ucred_pipeline.ledger.breaks import KINDS


@click.command()
@click.option("--kind", type=click.Choice(KINDS), help="Only the breaks of this kind.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.pass_context
def breaks(context: click.Context, kind: str | None, form: str) -> None:
    """List the open breaks: what needs attention, oldest first."""
    from ucred_pipeline.reporting.breaks import csv_text, document, table  # noqa: PLC0415

    with opened(context) as pipeline, pipeline.ledger.read() as connection:
        found = document(connection, kind, pipeline.clock.now())
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False))
    elif form == "csv":
        click.echo(csv_text(found), nl=False)
    else:
        show(table(found, kind), context.obj)


@click.command()
@click.argument("name", metavar="ID")
@AS_JSON
@click.pass_context
def explain(context: click.Context, name: str, *, as_json: bool) -> None:
    """Tell all that is known of a purchase, by its PaymentIntent, its namespace, or the buyer's address."""
    from ucred_pipeline.reporting import explanation  # noqa: PLC0415

    with opened(context) as pipeline, pipeline.ledger.read() as connection:
        found = explanation.explain(connection, name, pipeline.clock.now(), pipeline.settings.rules)
    if found is None:
        raise click.UsageError(
            f'nothing is known of "{name}"; is it a PaymentIntent, a namespace or an address?'
        )
    if as_json:
        click.echo(json.dumps(explanation.as_json(found), ensure_ascii=False))
    else:
        show(explanation.render(found), context.obj)


@click.command()
@AS_JSON
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Tell where things stand: the last run, the sources, the breaks, and what is held."""
    from ucred_pipeline.reporting import status as report  # noqa: PLC0415

    with opened(context, begins=True) as pipeline, pipeline.ledger.read() as connection:
        told = report.status(pipeline.settings, connection, pipeline.clock.now())
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(report.render(told), context.obj)


@click.command()
@click.option("--expect", metavar="HASH", help="A hash that was the newest once: it must still be there.")
@AS_JSON
@click.pass_context
def verify(context: click.Context, expect: str | None, *, as_json: bool) -> int:
    """Check that nobody changed the history: every entry is chained to the one before by a hash.

    Says where it breaks first, also where the tables say something else than the history told. Ends
    with 0 where it is whole, with 1 where it breaks.
    """
    from ucred_pipeline.ledger import verification  # noqa: PLC0415
    from ucred_pipeline.reporting import history  # noqa: PLC0415

    if expect is not None and not re.fullmatch(r"[0-9a-f]{64}", expect):
        raise click.BadParameter("a hash is 64 hexadecimal digits", param_hint="--expect")
    with opened(context) as pipeline, pipeline.ledger.read() as connection, progress() as tell:
        found = verification.verify(connection, expect, partial(tell, "entries verified"))
    if as_json:
        click.echo(json.dumps(history.document(found)))
    else:
        show(history.render(found), context.obj)
    return Exit.FAULT if found.broken else Exit.DONE


@click.command()
@click.pass_context
def doctor(context: click.Context) -> int:
    """Check that everything that a run needs is in order; proves the token without an effect."""
    from ucred_pipeline.orchestration.doctor import examine, render, worst  # noqa: PLC0415

    with opened(context, begins=True) as pipeline:
        findings = examine(pipeline)
    show(render(findings), context.obj)
    return Exit.USAGE if worst(findings) == "error" else Exit.DONE
