"""What Dagster gives to the assets."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg

from ucred_pipeline.orchestration.liveness import alive
from ucred_pipeline.orchestration.opening import open_pipeline
from ucred_pipeline.orchestration.pipeline import Pipeline


@dg.resource(description="The settings and the ledger, open for the length of a run.")
@contextmanager
def pipeline_resource(context: dg.InitResourceContext) -> Iterator[Pipeline]:
    """Give the pipeline to the assets of a run, which shows that it lives, or to a sensor."""
    with ExitStack() as stack:
        if context.run_id is not None and context.instance is not None:
            stack.enter_context(alive(context.instance.root_directory, context.run_id))
        yield stack.enter_context(open_pipeline())
