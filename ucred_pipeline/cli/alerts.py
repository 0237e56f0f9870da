"""The command `ucred alerts`: lists, acknowledges, silences, and sends a test."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import click

from ucred_pipeline.cli.exits import Exit
from ucred_pipeline.cli.opening import opened
from ucred_pipeline.cli.options import AS_JSON, BY, sign, signed_options
from ucred_pipeline.cli.terminal import say, show
from ucred_pipeline.domain.alerts import NAMES, Severity

_LONGEST: Final = timedelta(days=7)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Span(click.ParamType[timedelta]):
    """A length of time: `30m`, `2h`, `1d`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the time."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value, re.ASCII)
        if found is None:
            self.fail(f'"{value}" is not a time; write it as 30m, 2h or 1d', param, ctx)
        span = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if span > _LONGEST:
            self.fail(f"{value} is longer than {_LONGEST.days} days; a silence must end", param, ctx)
        return span


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def alerts(context: click.Context, *, as_json: bool) -> None:
    """List the alerts, or act on them; without a word more, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=as_json)


@alerts.command("list")
@AS_JSON
@click.pass_context
def list_command(context: click.Context, *, as_json: bool) -> None:
    """List what fires, is acknowledged or silenced, what ended within a day, and what is not sent yet."""
    from ucred_pipeline.reporting.alert_list import document, render  # noqa: PLC0415
    from ucred_pipeline.reporting.alerts import routes_of  # noqa: PLC0415

    with opened(context) as pipeline, pipeline.ledger.read() as connection:
        told = document(connection, routes_of(pipeline.settings), pipeline.clock.now())
    if as_json or (context.parent and context.parent.params.get("as_json")):
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        show(render(told), context.obj)


@alerts.command()
@click.argument("alert")
@BY
@click.option("--reason", default="seen", metavar="TEXT", help="Why; the history keeps it.")
@click.pass_context
def ack(context: click.Context, alert: str, by: str, reason: str) -> None:
    """Acknowledge an alert, by its id or its name: it reminds no more until it has resolved."""
    from ucred_pipeline.ledger.alerts import acknowledge, find_alerts  # noqa: PLC0415

    with opened(context) as pipeline, pipeline.ledger.write() as connection:
        signed = sign(pipeline, by, reason)
        firing = [found for found in find_alerts(connection, alert) if found.is_firing]
        if not firing:
            raise click.UsageError(f"no alert {alert} fires; `ucred alerts` lists them")
        if len(firing) > 1 and alert not in NAMES:
            raise click.UsageError(f"more than one alert begins with {alert}; name more of it")
        for found in firing:
            acknowledge(connection, found, signed)
    told = firing[0].key if len(firing) == 1 else f"{len(firing):,} alerts"
    click.echo(f"{told} acknowledged: no reminder until it has resolved.")


@alerts.command()
@click.argument("name")
@click.option("--for", "span", required=True, type=Span(), help="For how long: 30m, 2h, 1d; 7 days at most.")
@signed_options
@click.pass_context
def silence(context: click.Context, name: str, span: timedelta, reason: str, by: str) -> None:
    """Send nothing of the alerts of a NAME, of one ALERT, or of `all`, for a while; a later one replaces it.

    What still fires when the silence ends is told then, and so is the end of what was told before.
    """
    from ucred_pipeline.ledger.alerts import EVERYTHING, find_alerts  # noqa: PLC0415
    from ucred_pipeline.ledger.alerts import silence as begin  # noqa: PLC0415

    with opened(context) as pipeline, pipeline.ledger.write() as connection:
        signed = sign(pipeline, by, reason)
        if name not in NAMES | {EVERYTHING}:
            name = _only_id(name, [one.key for one in find_alerts(connection, name)])
        begin(connection, name, signed.at + span, signed)
    click.echo(f"Nothing is sent of {name} until {signed.at + span:%Y-%m-%d %H:%M} UTC.")


def _only_id(beginning: str, found: Sequence[str]) -> str:
    """The one id that begins so."""
    if len(found) > 1:
        raise click.UsageError(f"more than one alert begins with {beginning}; name more of it")
    if not found:
        names = ", ".join(sorted(NAMES))
        raise click.UsageError(f"there is no alert {beginning}; name one of: {names}, an alert's id, or all")
    return found[0]


@alerts.command()
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in Severity]),
    default=Severity.INFO.value,
    show_default=True,
    help="To the routes that take this severity.",
)
@click.pass_context
def test(context: click.Context, severity: str) -> int:
    """Send a test to every route that takes the severity, and say of each whether it went.

    Ends with 0 where all went, with 1 where one did not, and with 2 where there is none.
    """
    from ucred_pipeline.reporting.alerts import routes_of  # noqa: PLC0415
    from ucred_pipeline.reporting.notifications import Trial, send_trial  # noqa: PLC0415

    with opened(context, begins=True) as pipeline:
        routes = routes_of(pipeline.settings)
        timeout_s = pipeline.settings.rules.alerts.timeout_s
    for problem in routes.problems:
        say(problem)
    went = {route.name: send_trial(route, Severity(severity), timeout_s) for route in routes.usable}
    for name, result in went.items():
        click.echo(f"{name}: {result}")
    if not any(route.takes(Severity(severity)) for route in routes.usable):
        raise click.UsageError(f"UCRED_ALERT_URLS names no route that takes {severity}")
    return Exit.FAULT if routes.problems or Trial.FAILED in went.values() else Exit.DONE
