"""What a run came to: the document that `reconcile --json` prints, and how the run ended."""

from datetime import datetime, timedelta
from typing import Any

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.breaks import count_breaks
from ucred_pipeline.ledger.days import note_failed
from ucred_pipeline.ledger.measures import mint_success
from ucred_pipeline.ledger.purchases import Days, count_verdicts
from ucred_pipeline.ledger.runs import RECONCILIATION, End, Run, begin_run, end_run, find_run
from ucred_pipeline.ledger.safety import open_holds
from ucred_pipeline.orchestration.crediting import Credited
from ucred_pipeline.orchestration.pipeline import Pipeline


def start(pipeline: Pipeline, run_id: str, days: Days, *, applied: bool, job: str = RECONCILIATION) -> None:
    """Keep that a run of a job has begun, for which days it plans, and whether it may send."""
    now = pipeline.clock.now()
    run = Run(run_id, now, None, applied, days.since, days.until, Outcome.RUNNING, "", {}, job)
    with pipeline.ledger.write() as connection:
        begin_run(connection, run)


def finish(pipeline: Pipeline, run_id: str, credited: Credited, plan: str | None) -> Run:
    """Keep what a run came to."""
    now = pipeline.clock.now()
    with pipeline.ledger.write() as connection:
        run = find_run(connection, run_id)
        if run is None:
            raise LookupError(f"the ledger has no run {run_id}")
        verdicts = count_verdicts(connection)
        window = timedelta(hours=pipeline.settings.rules.thresholds.mint_success_window_hours)
        success = mint_success(connection, now - window)
        holds = [hold.kind.value for hold in open_holds(connection)]
        summary: dict[str, Any] = {
            "run_id": run_id,
            "from": _day(run.since),
            "to": _day(run.until - timedelta(days=1) if run.until else None),
            "mode": "apply" if run.applied else "plan",
            "purchases": sum(verdicts.values()),
            "verdicts": verdicts,
            "corrections": {
                "planned": credited.planned,
                "confirmed": credited.confirmed,
                "refused": credited.refused,
                "in_doubt": credited.in_doubt,
                "held": credited.held,
            },
            "mint_success_rate": success.ratio,
            "plan": plan,
            "hold": credited.hold or (holds[0] if holds else None),
            "breaks_open": sum(count_breaks(connection).values()),
        }
        end_run(connection, run_id, End(now, _outcome(credited), credited.advice, summary))
        ended = find_run(connection, run_id)
    if ended is None:
        raise LookupError(f"the ledger lost the run {run_id}")
    return ended


def fail(pipeline: Pipeline, run_id: str, outcome: Outcome, told: str) -> None:
    """Keep that a run failed, beside the figures of what it had done; one of some steps leaves no red day."""
    with pipeline.ledger.write() as connection:
        now, run = pipeline.clock.now(), find_run(connection, run_id)
        end_run(connection, run_id, End(now, outcome, told, run.summary if run else {}))
        if run is not None and outcome is not Outcome.DONE:
            note_failed(connection, Days(run.since, run.until), now, outcome)


def _outcome(credited: Credited) -> Outcome:
    if credited.hold is not None:
        return Outcome.HELD
    return Outcome.UNSETTLED if credited.refused or credited.in_doubt else Outcome.DONE


def _day(moment: datetime | None) -> str | None:
    return moment.date().isoformat() if moment else None
