"""Which runs of a Dagster are the pipeline's: others may keep theirs in the same instance."""

from typing import Final

import dagster as dg

from ucred_pipeline.ledger.runs import RECONCILIATION
from ucred_pipeline.orchestration.assets import ASSETS
from ucred_pipeline.orchestration.jobs import SETTLE_CORRECTIONS

OUR_JOBS: Final = frozenset({RECONCILIATION, SETTLE_CORRECTIONS, "housekeeping"})
_OUR_ASSETS: Final = frozenset(asset.key for asset in ASSETS)


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether a run is of a job of ours, or of a click on assets of ours, which has no job of a name."""
    return run.job_name in OUR_JOBS or not _OUR_ASSETS.isdisjoint(run.asset_selection or ())
