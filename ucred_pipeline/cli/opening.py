"""The pipeline as the commands open it, and what they ask of its settings before they begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # what reads the sources and judges takes most of a second to import
    from ucred_pipeline.orchestration.pipeline import Pipeline


@contextmanager
def opened(context: click.Context, *, begins: bool = False) -> Iterator["Pipeline"]:
    """Open the pipeline that the settings of the command name, whose ledger is there unless it `begins`."""
    from ucred_pipeline.orchestration.opening import open_pipeline  # noqa: PLC0415

    with open_pipeline(context.obj, begins=begins) as pipeline:
        yield pipeline


def require_sources(pipeline: "Pipeline", *, apply: bool) -> None:
    """Refuse to begin where a source is not named, or where it would not be safe to credit."""
    for name in ("STRIPE_API_KEY", "PAYMENTS_DATABASE_URL", "RUST_L1_INDEXER"):
        pipeline.settings.require(name)
    if apply:
        pipeline.settings.refuse_unsafe_crediting()
