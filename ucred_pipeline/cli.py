"""The command `ucred`.

Exit codes: 0 done, 1 a fault of the pipeline, 2 wrong usage or settings, 3 a source could not be
read whole, 4 a hold, 5 done with corrections refused or in doubt.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console, RenderableType
from rich.status import Status

from ucred_pipeline.ledger import copying
from ucred_pipeline.ledger.breaks import KINDS, find_break
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.plans import Plan, PlanState, approve_plan, find_plans
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.runs import Outcome, Run
from ucred_pipeline.ledger.safety import HoldKind, Signed, open_holds, raise_hold

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.crediting import Credited
    from ucred_pipeline.orchestration.pipeline import Pipeline


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    SOURCE = 3
    HELD = 4
    UNSETTLED = 5


_EXITS: Final = {
    Outcome.DONE: Exit.DONE,
    Outcome.FAULT: Exit.FAULT,
    Outcome.RUNNING: Exit.FAULT,
    Outcome.RETRIED: Exit.FAULT,
    Outcome.SETTINGS: Exit.USAGE,
    Outcome.SOURCE_UNREADABLE: Exit.SOURCE,
    Outcome.HELD: Exit.HELD,
    Outcome.UNSETTLED: Exit.UNSETTLED,
}
_PLAN_LETTERS: Final = 8
#: Commands whose modules take long to import, and where they are.
_LATER: Final = {"alerts": "ucred_pipeline.cli_alerts", "sandbox": "ucred_pipeline.sandbox.command"}

_out, _err = Console(highlight=False), Console(stderr=True, highlight=False)


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


def main() -> None:
    """Run the command; what goes wrong becomes a line or two and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001 - nobody is shown a traceback, which could hold a secret
        return _told_error(error)
    return int(code or Exit.DONE)


def _told_error(error: Exception) -> int:
    if isinstance(error, click.exceptions.Abort):
        return _say("stopped", Exit.FAULT)
    if isinstance(error, click.UsageError):
        text = error.format_message().removesuffix(".")
        return _say(f"{text}. See `{_command(error)} --help`", Exit.USAGE)
    if isinstance(error, click.ClickException):
        return _say(error.format_message(), Exit.USAGE)
    from ucred_pipeline.corrections.resolving import CannotResolve  # noqa: PLC0415
    from ucred_pipeline.orchestration.faults import outcome_of, told_without_secrets  # noqa: PLC0415
    from ucred_pipeline.orchestration.manual import CannotCredit  # noqa: PLC0415

    if isinstance(error, TooEarly | copying.CannotCopy | CannotCredit | CannotResolve):
        return _say(str(error), Exit.USAGE)
    return _say(told_without_secrets(error), _EXITS[outcome_of(error)])


def _command(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "ucred"


def _say(text: str, code: Exit) -> int:
    click.echo(f"ucred: {_printable(text)}", err=True)
    return code


def _printable(text: str) -> str:
    """Keep what a terminal would take for a command, which a name or a reason may hold, out of a line."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _show(told: RenderableType, env_file: Path | None) -> None:
    """Print something whose commands can be typed as they stand."""
    with _out.capture() as captured:
        _out.print(told)
    click.echo(_here(captured.get(), env_file), nl=False)


def _here(text: str, env_file: Path | None) -> str:
    """Write the commands in a text as this one was called, so that none acts on another ledger."""
    named = "|".join([*cli.commands, *_LATER])
    return re.sub(rf"\bucred (?=(?:{named})\b)", lambda _: f"{_program(env_file)} ", text)


def _program(env_file: Path | None) -> str:
    called = Path(sys.argv[0])
    on_path = shutil.which("ucred")
    is_found = on_path is not None and called.exists() and Path(on_path).samefile(called)
    name = "ucred" if is_found or called.stem != "ucred" else str(called)
    return f'{name} --env-file "{env_file}"' if env_file else name


class _Commands(click.Group):
    """The commands; some are imported only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all of them."""
        return sorted([*super().list_commands(ctx), *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give one of them."""
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module(_LATER[cmd_name]), cmd_name)
        return found


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=__doc__.partition("\n\n")[2],
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Read the settings from this file of NAME=value lines, before the environment and .env.",
)
@click.version_option(package_name="ucred-pipeline")
@click.pass_context
def cli(context: click.Context, env_file: Path | None) -> None:
    """Find the purchases that never got their UCRED, and credit each of them once."""
    context.obj = env_file


def _signed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add who does it and why."""
    by = click.option("--by", required=True, metavar="NAME", help="Who does it; the history keeps the name.")
    reason = click.option("--reason", required=True, metavar="TEXT", help="Why; the history keeps it.")
    return reason(by(command))


@contextmanager
def _opened(context: click.Context) -> Iterator["Pipeline"]:
    from ucred_pipeline.orchestration.opening import open_pipeline  # noqa: PLC0415

    with open_pipeline(context.obj) as pipeline:
        yield pipeline


def _signed(pipeline: "Pipeline", by: str, reason: str) -> Signed:
    if not by.strip() or not reason.strip():
        raise click.UsageError("--by and --reason must say something: the history keeps them")
    return Signed(by.strip(), pipeline.clock.now(), reason.strip())


@cli.command()
@click.option("--from", "since", type=Day(), help="Plan for payments created on this UTC day or later.")
@click.option("--to", "until", type=Day(), help="Plan for payments created on this UTC day or earlier.")
@click.option("--apply", is_flag=True, help="Send the credits; without it the run plans and sends nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def reconcile(
    context: click.Context, since: date | None, until: date | None, *, apply: bool, as_json: bool
) -> int:
    """Run the reconciliation once: read, judge, plan, and with --apply credit what lacks.

    Without days it plans for all that is open. Judging always looks at every purchase of an account.
    """
    days = _days(since, until)
    with _opened(context) as pipeline:
        run = _reconcile(pipeline, days, apply=apply)
        _show_run(run, context.obj, as_json=as_json)
    return _EXITS[run.outcome]


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


def _reconcile(pipeline: "Pipeline", days: Days, *, apply: bool) -> Run:
    _require_sources(pipeline, apply=apply)
    with _err.status("Starting ...") as status:
        pipeline = pipeline.telling(lambda step, count: status.update(f"{count:,} {step}"))
        from ucred_pipeline.definitions import defs  # noqa: PLC0415 - Dagster takes a second to import
        from ucred_pipeline.orchestration.running import reconcile as run_job  # noqa: PLC0415

        return run_job(defs, pipeline, days, apply=apply)


def _require_sources(pipeline: "Pipeline", *, apply: bool) -> None:
    for name in ("STRIPE_API_KEY", "PAYMENTS_DATABASE_URL", "RUST_L1_INDEXER"):
        pipeline.settings.require(name)
    if apply:
        pipeline.settings.refuse_unsafe_crediting()


def _show_run(run: Run, env_file: Path | None, *, as_json: bool) -> None:
    """Print the run's document; a run that decided nothing has none, and says why."""
    from ucred_pipeline.reporting.runs import render  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(run.summary or None))
    elif run.summary:
        _show(render(run), env_file)
    if run.detail:
        click.echo(f"ucred: {_printable(_here(run.detail, env_file))}", err=True)


@cli.command()
@click.option("--kind", type=click.Choice(KINDS), help="Only the breaks of this kind.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.pass_context
def breaks(context: click.Context, kind: str | None, form: str) -> None:
    """List the open breaks: what needs attention, oldest first."""
    from ucred_pipeline.reporting.breaks import csv_text, document, table  # noqa: PLC0415

    with _opened(context) as pipeline, pipeline.ledger.read() as connection:
        found = document(connection, kind, pipeline.clock.now())
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False))
    elif form == "csv":
        click.echo(csv_text(found), nl=False)
    else:
        _show(table(found, kind), context.obj)


@cli.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def explain(context: click.Context, name: str, *, as_json: bool) -> None:
    """Tell all that is known of a purchase, by its PaymentIntent, its namespace, or the buyer's address."""
    from ucred_pipeline.reporting import explanation  # noqa: PLC0415

    with _opened(context) as pipeline, pipeline.ledger.read() as connection:
        found = explanation.explain(connection, name, pipeline.clock.now(), pipeline.settings.rules)
    if found is None:
        raise click.UsageError(
            f'nothing is known of "{name}"; is it a PaymentIntent, a namespace or an address?'
        )
    if as_json:
        click.echo(json.dumps(explanation.as_json(found), ensure_ascii=False))
    else:
        _show(explanation.render(found), context.obj)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Tell where things stand: the last run, the sources, the breaks, and what is held."""
    from ucred_pipeline.reporting import status as report  # noqa: PLC0415

    with _opened(context) as pipeline, pipeline.ledger.read() as connection:
        told = report.status(pipeline.settings, connection, pipeline.clock.now())
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        _show(report.render(told), context.obj)


@cli.command()
@click.option("--expect", metavar="HASH", help="A hash that was the newest once: it must still be there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.pass_context
def verify(context: click.Context, expect: str | None, *, as_json: bool) -> int:
    """Check that nobody changed the history: every entry is chained to the one before by a hash.

    Says where it breaks first, also where the tables say something else than the history told. Ends
    with 0 where it is whole, with 1 where it breaks.
    """
    from ucred_pipeline.ledger.verification import verify as follow  # noqa: PLC0415
    from ucred_pipeline.reporting import history  # noqa: PLC0415

    if expect is not None and not re.fullmatch(r"[0-9a-f]{64}", expect):
        raise click.BadParameter("a hash is 64 hexadecimal digits", param_hint="--expect")
    with _opened(context) as pipeline, pipeline.ledger.read() as connection, _err.status("...") as status:
        found = follow(connection, expect, lambda count: status.update(f"{count:,} entries verified"))
    if as_json:
        click.echo(json.dumps(history.document(found)))
    else:
        _show(history.render(found), context.obj)
    return Exit.FAULT if found.broken else Exit.DONE


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--by", default="pipeline", show_default=True, metavar="NAME", help="Who makes it.")
@click.pass_context
def backup(context: click.Context, file: Path, by: str) -> None:
    """Copy the whole ledger, SQLite or PostgreSQL, into a new SQLite FILE, and read the copy back.

    The copy is held: a ledger that is restored from it sends nothing until `ucred release`, for what
    was credited after the copy was made is not in it.
    """
    with _opened(context) as pipeline, _err.status("...") as status:
        reason = f"a copy as of {pipeline.clock.now():%Y-%m-%d %H:%M:%S} UTC: what came later is not in it"
        signed = _signed(pipeline, by, reason)
        copied = copying.back_up(pipeline.ledger, file, signed, _rows_copied(status))
    click.echo(
        f"{file}: {copied.rows:,} rows, and a history of {copied.history.entries:,} entries that is whole. "
        "Restore it with: ucred restore FILE --reason TEXT --by NAME"
    )


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_signed_options
@click.pass_context
def restore(context: click.Context, file: Path, by: str, reason: str) -> None:
    """Copy a back-up FILE into the ledger that UCRED_DATABASE_URL names, which must be new.

    Nothing is sent from it until a person has looked: see docs/runbook.md, A ledger is restored.
    """
    with _opened(context) as pipeline, _err.status("...") as status:
        signed = _signed(pipeline, by, reason)
        copied = copying.restore(file, pipeline.ledger, signed, _rows_copied(status))
    click.echo(
        f"{copied.rows:,} rows are restored, and nothing is sent until `ucred release`. "
        "Read first, and look at what lacks: ucred reconcile; ucred breaks"
    )


def _rows_copied(status: Status) -> Callable[[int], None]:
    return lambda count: status.update(f"{count:,} rows copied")


@cli.command()
@click.pass_context
def doctor(context: click.Context) -> int:
    """Check that everything that a run needs is in order; proves the token without an effect."""
    from ucred_pipeline.orchestration.doctor import examine, render, worst  # noqa: PLC0415

    with _opened(context) as pipeline:
        findings = examine(pipeline)
    _show(render(findings), context.obj)
    return Exit.USAGE if worst(findings) == "error" else Exit.DONE


@cli.command("credit")
@click.argument("namespace")
@_signed_options
@click.option("--apply", is_flag=True, help="Send the credit; without it nothing is sent.")
@click.pass_context
def credit_command(context: click.Context, namespace: str, by: str, reason: str, *, apply: bool) -> int:
    """Credit one purchase by hand, through the same guards as the pipeline's own corrections."""
    from ucred_pipeline.orchestration.manual import credit  # noqa: PLC0415

    with _opened(context) as pipeline:
        _require_sources(pipeline, apply=apply)
        credited = credit(pipeline, namespace, _signed(pipeline, by, reason), apply=apply)
    click.echo(_told(credited, apply=apply))
    if credited.hold:
        return _say(_here(f"held: {credited.hold}: {credited.advice}", context.obj), Exit.HELD)
    return Exit.UNSETTLED if credited.refused or credited.in_doubt else Exit.DONE


def _told(credited: "Credited", *, apply: bool) -> str:
    if not apply:
        return "1 credit is planned; nothing was sent. Send it with --apply."
    counts = {
        "confirmed": credited.confirmed,
        "refused": credited.refused,
        "in doubt": credited.in_doubt,
        "held": credited.held,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to send"


@cli.command("resolve")
@click.argument("break_id", metavar="BREAK")
@click.option(
    "--as",
    "decision",
    required=True,
    type=click.Choice(["credited", "not-credited"]),
    help="What you found: the credit is there, or it is not.",
)
@_signed_options
@click.pass_context
def resolve_command(context: click.Context, break_id: str, decision: str, by: str, reason: str) -> None:
    """Settle what the evidence cannot: a doubt, or evidence that contradicts itself."""
    from ucred_pipeline.corrections.resolving import resolve  # noqa: PLC0415
    from ucred_pipeline.domain.judging_frames import Decision  # noqa: PLC0415
    from ucred_pipeline.orchestration.crediting import book_of  # noqa: PLC0415
    from ucred_pipeline.orchestration.judgement import judge_marked  # noqa: PLC0415

    with _opened(context) as pipeline:
        signed = _signed(pipeline, by, reason)
        with pipeline.ledger.read() as connection:
            found = find_break(connection, break_id)
        if found is None:
            raise click.UsageError(f"no open break {break_id}; `ucred breaks` lists them")
        book = book_of(pipeline, f"resolve-{break_id}", actor=signed.actor)
        resolve(pipeline.ledger, book, found, Decision(decision.replace("-", "_")), signed)
        judge_marked(pipeline)
    click.echo(f"{break_id} is settled as {decision}.")


@cli.command()
@click.argument("plan")
@click.option("--by", required=True, metavar="NAME", help="Who approves; the history keeps the name.")
@click.pass_context
def approve(context: click.Context, plan: str, by: str) -> None:
    """Lift the limits for one withheld plan, by its hash; the next run with --apply carries it out."""
    with _opened(context) as pipeline:
        signed = _signed(pipeline, by, "approved")
        lasts = timedelta(hours=pipeline.settings.rules.limits.approval_hours)
        with pipeline.ledger.write() as connection:
            approved = approve_plan(connection, _withheld(find_plans(connection, plan), plan), signed, lasts)
    told = f"{len(approved.items)} corrections are approved until {approved.expires:%Y-%m-%d %H:%M} UTC."
    click.echo(_here(f"{told} Carry them out with: ucred reconcile --apply", context.obj))


def _withheld(found: list[Plan], name: str) -> Plan:
    if len(name) < _PLAN_LETTERS:
        raise click.UsageError(f"name at least {_PLAN_LETTERS} digits of the plan's hash")
    if len(found) != 1:
        many = "more than one plan begins" if found else "no plan begins"
        raise click.UsageError(f"{many} with {name}; `ucred status` shows the plan that is withheld")
    if found[0].state is not PlanState.WITHHELD:
        raise click.UsageError(f"the plan {name} is {found[0].state}; only a withheld plan is approved")
    return found[0]


@cli.command()
@_signed_options
@click.pass_context
def hold(context: click.Context, by: str, reason: str) -> None:
    """Stop all sending until `ucred release`; runs go on reading and judging."""
    with _opened(context) as pipeline, pipeline.ledger.write() as connection:
        raised = raise_hold(connection, HoldKind.PERSON, _signed(pipeline, by, reason))
    click.echo("Nothing is sent from now on." if raised else "A hold is in force already.")


@cli.command()
@click.option(
    "--new-epoch",
    is_flag=True,
    help="The indexer's old state is lost for good: judge every purchase anew against the new one.",
)
@_signed_options
@click.pass_context
def release(context: click.Context, by: str, reason: str, *, new_epoch: bool) -> None:
    """Release every hold, and close the breaker; the next run begins with one correction at a time."""
    from ucred_pipeline.orchestration import crediting  # noqa: PLC0415

    with _opened(context) as pipeline:
        signed = _signed(pipeline, by, reason)
        with pipeline.ledger.read() as connection:
            is_held = bool(open_holds(connection))
        if not is_held and not new_epoch:
            raise click.UsageError("nothing is held")
        released = crediting.release(pipeline, signed, new_epoch=new_epoch)
    click.echo(f"Released: {', '.join(found.kind for found in released) or 'no hold'}.")
    if new_epoch:
        click.echo("A new epoch has begun: the next run reads every balance and judges every purchase anew.")


@cli.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8350, show_default=True, type=click.IntRange(0, 65535))
@click.pass_context
def serve_command(context: click.Context, host: str, port: int) -> None:
    """Serve the page, /metrics and /healthz until it is stopped; it only reads the ledger.

    An address that others can reach needs UCRED_SERVE_TOKEN, which a browser asks for as the password.
    """
    from ucred_pipeline.reporting.page.serving import serve  # noqa: PLC0415
    from ucred_pipeline.settings import load_settings  # noqa: PLC0415

    serve(
        load_settings(context.obj),
        host,
        port,
        ready=lambda address: click.echo(f"The page is at {address} - stop it with Ctrl-C."),
    )


@cli.command()
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
        run = _reconcile(pipeline, Days(), apply=True)
        _show_demo(pipeline, run, env_file)
    return _EXITS[run.outcome] if run.outcome in {Outcome.FAULT, Outcome.SOURCE_UNREADABLE} else Exit.DONE


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
        click.echo(f"ucred: {run.detail}", err=True)
        return
    with pipeline.ledger.read() as connection:
        now, rules = pipeline.clock.now(), pipeline.settings.rules
        name = explained(connection, run)
        commands = [
            ("ucred breaks", "everything that needs a person, oldest first"),
            (f"ucred explain {name}", "all that is known of one purchase"),
        ]
        _show(picture(connection, run, now, rules, commands), env_file)
