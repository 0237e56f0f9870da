"""What Dagster gives to the assets."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ucred_pipeline.orchestration.opening import open_pipeline
from ucred_pipeline.orchestration.pipeline import Pipeline


@dg.resource(description="The settings and the ledger, open for the length of a run.")
@contextmanager
def pipeline_resource(_context: dg.InitResourceContext) -> Iterator[Pipeline]:
    """Give the pipeline to the assets of a run."""
    with open_pipeline() as pipeline:
        yield pipeline
