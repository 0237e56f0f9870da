"""The options that several commands have, and what they stand for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ucred_pipeline.ledger.safety import Signed

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.pipeline import Pipeline

AS_JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
)
BY: Final = click.option(
    "--by", required=True, metavar="NAME", help="Who does it; the history keeps the name."
)
_REASON: Final = click.option("--reason", required=True, metavar="TEXT", help="Why; the history keeps it.")


def signed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add who does it and why."""
    return _REASON(BY(command))


def sign(pipeline: "Pipeline", by: str, reason: str) -> Signed:
    """Give who does it and why, as of now."""
    if not by.strip() or not reason.strip():
        raise click.UsageError("--by and --reason must say something: the history keeps them")
    return Signed(by.strip(), pipeline.clock.now(), reason.strip())
