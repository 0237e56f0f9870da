"""`ucred backup` and `ucred restore`: a copy of the ledger, and a ledger from a copy."""

from functools import partial
from pathlib import Path
from typing import Final

import click

from ucred_pipeline.cli.opening import opened
from ucred_pipeline.cli.options import sign, signed_options
from ucred_pipeline.cli.terminal import progress
from ucred_pipeline.ledger import copying

_COPIED: Final = "rows copied"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--by", default="pipeline", show_default=True, metavar="NAME", help="Who makes it.")
@click.pass_context
def backup(context: click.Context, file: Path, by: str) -> None:
    """Copy the whole ledger, SQLite or PostgreSQL, into a new SQLite FILE, and read the copy back.

    The copy is held: a ledger that is restored from it sends nothing until `ucred release`, for what
    was credited after the copy was made is not in it.
    """
    with opened(context) as pipeline, progress() as tell:
        reason = f"a copy as of {pipeline.clock.now():%Y-%m-%d %H:%M:%S} UTC: what came later is not in it"
        signed = sign(pipeline, by, reason)
        copied = copying.back_up(pipeline.ledger, file, signed, partial(tell, _COPIED))
    click.echo(
        f"{file}: {copied.rows:,} rows, and a history of {copied.history.entries:,} entries that is whole. "
        "Restore it with: ucred restore FILE --reason TEXT --by NAME"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@signed_options
@click.pass_context
def restore(context: click.Context, file: Path, by: str, reason: str) -> None:
    """Copy a back-up FILE into the ledger that UCRED_DATABASE_URL names, which must be new.

    Nothing is sent from it until a person has looked: see docs/runbook.md, A ledger is restored.
    """
    with opened(context, begins=True) as pipeline, progress() as tell:
        signed = sign(pipeline, by, reason)
        copied = copying.restore(file, pipeline.ledger, signed, partial(tell, _COPIED))
    click.echo(
        f"{copied.rows:,} rows are restored, and nothing is sent until `ucred release`. "
        "Read first, and look at what lacks: ucred reconcile; ucred breaks"
    )
