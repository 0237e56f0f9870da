"""`ucred credit` and `ucred resolve`: what a person settles about one purchase."""

from typing import TYPE_CHECKING

import click

from ucred_pipeline.cli.exits import Exit
from ucred_pipeline.cli.opening import opened, require_sources
from ucred_pipeline.cli.options import sign, signed_options
from ucred_pipeline.cli.terminal import say, typable
from ucred_pipeline.ledger.breaks import find_break

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.crediting import Credited


@click.command()
@click.argument("namespace")
@signed_options
@click.option("--apply", is_flag=True, help="Send the credit; without it nothing is sent.")
@click.pass_context
def credit(context: click.Context, namespace: str, by: str, reason: str, *, apply: bool) -> int:
    """Credit one purchase by hand, through the same guards as the pipeline's own corrections."""
    from ucred_pipeline.orchestration import manual  # noqa: PLC0415

    with opened(context) as pipeline:
        require_sources(pipeline, apply=apply)
        credited = manual.credit(pipeline, namespace, sign(pipeline, by, reason), apply=apply)
    click.echo(_told(credited, apply=apply))
    if credited.hold:
        say(typable(f"held: {credited.hold}: {credited.advice}", context.obj))
        return Exit.HELD
    if credited.dropped:
        advice = "it is not as it was judged; run `ucred reconcile`, and see `ucred explain`"
        say(typable(f"held: {credited.dropped}: {advice} {namespace}", context.obj))
        return Exit.HELD
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


@click.command()
@click.argument("break_id", metavar="BREAK")
@click.option(
    "--as",
    "decision",
    required=True,
    type=click.Choice(["credited", "not-credited"]),
    help="What you found: the credit is there, or it is not.",
)
@signed_options
@click.pass_context
def resolve(context: click.Context, break_id: str, decision: str, by: str, reason: str) -> None:
    """Settle what the evidence cannot: a doubt, or evidence that contradicts itself."""
    from ucred_pipeline.domain.judging_frames import Decision  # noqa: PLC0415
    from ucred_pipeline.orchestration.crediting import resolver_of  # noqa: PLC0415
    from ucred_pipeline.orchestration.judgement import judge_marked  # noqa: PLC0415

    with opened(context) as pipeline:
        signed = sign(pipeline, by, reason)
        with pipeline.ledger.read() as connection:
            found = find_break(connection, break_id)
        if found is None:
            raise click.UsageError(f"no open break {break_id}; `ucred breaks` lists them")
        resolver = resolver_of(pipeline, f"resolve-{break_id}", signed.actor)
        resolver.resolve(found, Decision(decision.replace("-", "_")), signed)
        judge_marked(pipeline)
    click.echo(f"{break_id} is settled as {decision}.")
