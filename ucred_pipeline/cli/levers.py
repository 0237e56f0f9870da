"""The safety lever: `ucred approve`, `ucred hold` and `ucred release`."""

from datetime import timedelta
from typing import Final

import click

from ucred_pipeline.cli.opening import opened
from ucred_pipeline.cli.options import sign, signed_options
from ucred_pipeline.cli.terminal import typable
from ucred_pipeline.ledger.plans import Plan, PlanState, approve_plan, find_plans
from ucred_pipeline.ledger.safety import HoldKind, open_holds, raise_hold

_PLAN_LETTERS: Final = 8


@click.command()
@click.argument("plan")
@click.option("--by", required=True, metavar="NAME", help="Who approves; the history keeps the name.")
@click.pass_context
def approve(context: click.Context, plan: str, by: str) -> None:
    """Lift the limits for one withheld plan, by its hash; the next run with --apply carries it out."""
    with opened(context) as pipeline:
        signed = sign(pipeline, by, "approved")
        lasts = timedelta(hours=pipeline.settings.rules.limits.approval_hours)
        with pipeline.ledger.write() as connection:
            approved = approve_plan(connection, _withheld(find_plans(connection, plan), plan), signed, lasts)
    told = f"{len(approved.items)} corrections are approved until {approved.expires:%Y-%m-%d %H:%M} UTC."
    click.echo(typable(f"{told} Carry them out with: ucred reconcile --apply", context.obj))


def _withheld(found: list[Plan], name: str) -> Plan:
    if len(name) < _PLAN_LETTERS:
        raise click.UsageError(f"name at least {_PLAN_LETTERS} digits of the plan's hash")
    if len(found) != 1:
        many = "more than one plan begins" if found else "no plan begins"
        raise click.UsageError(f"{many} with {name}; `ucred status` shows the plan that is withheld")
    if found[0].state is not PlanState.WITHHELD:
        raise click.UsageError(f"the plan {name} is {found[0].state}; only a withheld plan is approved")
    return found[0]


@click.command()
@signed_options
@click.pass_context
def hold(context: click.Context, by: str, reason: str) -> None:
    """Stop all sending until `ucred release`; runs go on reading and judging."""
    with opened(context) as pipeline, pipeline.ledger.write() as connection:
        raised = raise_hold(connection, HoldKind.PERSON, sign(pipeline, by, reason))
    told = "Nothing is sent from now on." if raised else "A hold is in force already."
    click.echo(typable(f"{told} The ledger: {pipeline.ledger.place}", context.obj))


@click.command()
@click.option(
    "--new-epoch",
    is_flag=True,
    help="The indexer's old state is lost for good: judge every purchase anew against the new one.",
)
@signed_options
@click.pass_context
def release(context: click.Context, by: str, reason: str, *, new_epoch: bool) -> None:
    """Release every hold, and close the breaker; the next run begins with one correction at a time."""
    from ucred_pipeline.orchestration import crediting  # noqa: PLC0415

    with opened(context) as pipeline:
        signed = sign(pipeline, by, reason)
        with pipeline.ledger.read() as connection:
            is_held = bool(open_holds(connection))
        if not is_held and not new_epoch:
            raise click.UsageError("nothing is held")
        released = crediting.release(pipeline, signed, new_epoch=new_epoch)
    click.echo(f"Released: {', '.join(found.kind for found in released) or 'no hold'}.")
    if new_epoch:
        click.echo("A new epoch has begun: the next run reads every balance and judges every purchase anew.")
