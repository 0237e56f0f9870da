"""What is asked for already, and what is not: the runs under way, and the days that no run has made."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import dagster as dg

from ucred_pipeline.orchestration.assets import DAYS, purchases_lacking_ucred
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, keys_of, today

#: At most so many days are asked for at once: each is a run of its own.
MOST_DAYS: Final = 12
#: How far back a day is looked for that no run has made.
_LOOK_BACK: Final = 14

_WAITING: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
_UNDER_WAY: Final = [*_WAITING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What the queued and running runs are for; one over all that is open counts only while it waits.

    Once that one runs, what it has read may be older than what has happened since.
    """

    days: frozenset[str]
    open_waits: bool


def under_way(instance: dg.DagsterInstance) -> UnderWay:
    """Look at the queued and running runs, those of backfills included."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY))
    of_days = [run for run in runs if SCOPE_TAG not in run.tags]
    waits = any(run.tags.get(SCOPE_TAG) == ALL_OPEN and run.status in _WAITING for run in runs)
    return UnderWay(frozenset(day for run in of_days for day in keys_of(run.tags)), waits)


def waits_or_runs(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of the job is queued or running."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1))


def skipped_days(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """The days of the last fortnight, before today, for which no run has planned, oldest first.

    None before a run of today came through: while a source is away, one run a tick is enough to find out.
    """
    made = instance.get_materialized_partitions(purchases_lacking_ucred.key)
    if today(now) not in made:
        return []
    return [day for day in DAYS.get_partition_keys(current_time=now)[-_LOOK_BACK - 1 : -1] if day not in made]
