"""The retry queue's run: asks about doubts, sends again what was provably not applied, and says when to.

It reads what that needs and nothing more: the balances and the logs. Stripe and the payments API's database
must have been read whole lately by a reconciliation, as for any credit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log2
from typing import Final

from ucred_pipeline.corrections.settling import Settled
from ucred_pipeline.ledger.measures import RetryQueue, retry_queue
from ucred_pipeline.ledger.retries import Waiting, due_retries, settleable_doubts
from ucred_pipeline.ledger.safety import open_holds
from ucred_pipeline.orchestration import crediting, judgement, reading
from ucred_pipeline.orchestration.crediting import Credited
from ucred_pipeline.orchestration.pipeline import Pipeline

#: The first wait before the queue is asked again about the same attempt; it doubles.
_FIRST_WAIT: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Retried:
    """What a run of the retry queue came to, and what waits after it."""

    settled: Settled
    credited: Credited
    queue: RetryQueue
    plan: str | None


def settle_and_retry(pipeline: Pipeline, run_id: str, *, apply: bool) -> Retried:
    """Settle what the evidence settles, and with `apply` send again what is due, through every guard."""
    reading.read_balances(pipeline, run_id)
    reading.read_evidence(pipeline, run_id)
    settled = crediting.settle(pipeline, run_id)
    judgement.judge_marked(pipeline)
    planned = crediting.plan_again(pipeline, run_id)
    credited = (
        crediting.carry_out(pipeline, run_id, planned) if apply else crediting.would_credit(pipeline, planned)
    )
    judgement.judge_marked(pipeline)
    with pipeline.ledger.read() as connection:
        queue = retry_queue(connection)
    return Retried(settled, credited, queue, planned.newest.hash if planned.newest else None)


def turn_of_the_queue(pipeline: Pipeline) -> str | None:
    """Name the newest turn of anything in the queue; None where nothing may be done.

    An attempt's turn comes when its wait is over, and again after one minute, two, four and so on. The name
    carries the attempt's number and how often it was its turn, so that no turn comes twice and none is lost.
    """
    now = pipeline.clock.now()
    with pipeline.ledger.read() as connection:
        waiting = settleable_doubts(connection, now)
        if not open_holds(connection):
            waiting += due_retries(connection, now)
    return _newest_turn(waiting, now)


def _newest_turn(waiting: Sequence[Waiting], now: datetime) -> str | None:
    turns = [(_began(one.since, _turn(one.since, now)), one) for one in waiting]
    if not turns:
        return None
    _, newest = max(turns, key=lambda told: (told[0], told[1].name))
    return f"{newest.name}/{_turn(newest.since, now)}"


def _turn(since: datetime, now: datetime) -> int:
    """How often an attempt's wait has been over, the first time at `since`."""
    waited = (now - since) / _FIRST_WAIT
    return int(log2(waited)) + 2 if waited >= 1 else 1


def _began(since: datetime, turn: int) -> datetime:
    return since if turn == 1 else since + _FIRST_WAIT * 2 ** (turn - 2)
