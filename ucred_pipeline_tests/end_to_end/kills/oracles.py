"""What must be so whenever a run has ended, however it did, and what must be so in the end.

The sandbox knows what took effect; the ledger must not have claimed anything else.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.domain.money import format_ucred
from ucred_pipeline.ledger.safety import HoldKind, open_holds
from ucred_pipeline.ledger.schema import attempts, corrections
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

_NO_EFFECT: Final = frozenset({AttemptState.NOT_APPLIED, AttemptState.RESOLVED_NOT_APPLIED})
_OVER: Final = frozenset({CorrectionState.CONFIRMED, CorrectionState.SUPERSEDED, CorrectionState.CANCELLED})


def violations(world: Rehearsal) -> list[str]:
    """What is wrong now."""
    with world.ledger() as ledger, ledger.read() as connection:
        rows = connection.execute(select(attempts.c.memo, attempts.c.state)).all()
        return [
            *doubled(world),
            *_false_claims(world, rows),
            *_holds(connection),
            *_broken_history(connection),
        ]


def lost(world: Rehearsal) -> list[str]:
    """What was owed and has not been credited, or is still open, although everything is over."""
    owed, sent = _owed_to(world), world.sent_to()
    short = [f"{account} lacks {format_ucred(owed[account] - sent[account])}" for account in owed - sent]
    with world.ledger() as ledger, ledger.read() as connection:
        still = connection.execute(select(corrections.c.id, corrections.c.state)).all()
    return short + [f"correction {row.id} is still {row.state}" for row in still if row.state not in _OVER]


def doubled(world: Rehearsal) -> list[str]:
    """The purchases credited more than once by us, and the accounts that got more than they lacked."""
    twice = [f"{name} was credited {count} times" for name, count in world.sent().items() if count > 1]
    return twice + [f"{account} got more than it lacked" for account in world.sent_to() - _owed_to(world)]


def _owed_to(world: Rehearsal) -> Counter[str]:
    """Wei that each account lacks but for what came over HTTP."""
    wei: Counter[str] = Counter()
    for truth in world.sandbox.truth.to_credit.values():
        wei[truth.account] += truth.owed_wei
    return wei


def _false_claims(world: Rehearsal, rows: Sequence[Row[Any, Any]]) -> Iterator[str]:
    there, known = {credit.memo for credit in world.sandbox.http_credits}, {row.memo for row in rows}
    yield from (f"{memo} was sent without being written ahead" for memo in there - known)
    for row in rows:
        if row.state == AttemptState.APPLIED and row.memo not in there:
            yield f"{row.memo} is said to have had an effect, and had none"
        if row.state in _NO_EFFECT and row.memo in there:
            yield f"{row.memo} is said to have had no effect, and had one"


def _holds(connection: Connection) -> Iterator[str]:
    """Faults may open the breaker; for any other hold there is no reason here."""
    unwarranted = (hold for hold in open_holds(connection) if hold.kind is not HoldKind.BREAKER)
    yield from (f"there is a hold: {hold.kind}, {hold.detail}" for hold in unwarranted)


def _broken_history(connection: Connection) -> Iterator[str]:
    broken = verify(connection).broken
    if broken is not None:
        yield f"the history breaks at {broken.sequence}: {broken.says}"
