"""The retry queue: what was provably not applied and is due, and the doubts whose absence counts by now."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.ledger.safety import current_epoch
from ucred_pipeline.ledger.schema import attempts, corrections

_c, _a = corrections.c, attempts.c


@dataclass(frozen=True, slots=True)
class Waiting:
    """A correction that may be sent again, or a doubt that may be settled, since a moment."""

    correction: str
    attempt: int
    since: datetime

    @property
    def name(self) -> str:
        """`{correction id}.{attempt}`: of the attempt that failed, or is in doubt."""
        return f"{self.correction}.{self.attempt}"


def due_retries(connection: Connection, now: datetime) -> list[Waiting]:
    """The corrections that failed without an effect, and whose wait is over."""
    chosen = (
        select(_c.id, func.max(_a.number).label("number"), func.coalesce(_c.due, _c.changed).label("since"))
        .join(attempts, _a.correction == _c.id)
        .where(_is_due(now), _c.epoch == current_epoch(connection))
        .group_by(_c.id, _c.due, _c.changed)
    )
    return _waiting(connection, chosen)


def due_purchases(connection: Connection, now: datetime) -> frozenset[str]:
    """The purchases whose correction failed without an effect, and whose wait is over."""
    chosen = select(_c.payment_intent).where(_is_due(now), _c.epoch == current_epoch(connection))
    return frozenset(connection.execute(chosen).scalars())


def settleable_doubts(connection: Connection, now: datetime) -> list[Waiting]:
    """The doubts, those of a sender that died included, of which absence counts as evidence by now."""
    open_doubt = _a.state.in_([AttemptState.SENDING, AttemptState.IN_DOUBT])
    chosen = select(_a.correction.label("id"), _a.number, _a.settles_after.label("since"))
    return _waiting(connection, chosen.where(open_doubt, _a.settles_after <= now))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(_c.state == CorrectionState.PLANNED, _c.failures > 0, or_(_c.due.is_(None), _c.due <= now))


def _waiting(connection: Connection, chosen: Select[tuple[str, int, datetime]]) -> list[Waiting]:
    return [Waiting(row.id, row.number, row.since) for row in connection.execute(chosen)]
