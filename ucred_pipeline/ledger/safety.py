"""The safety lever: holds, the breaker and epochs, which decide whether anything may be sent."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from ucred_pipeline.domain.answers import Effect
from ucred_pipeline.domain.corrections import AttemptState, CorrectionState
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.mirror import mark_groups
from ucred_pipeline.ledger.schema import (
    attempts,
    balances,
    breaker,
    corrections,
    credit_lines,
    epochs,
    holds,
    purchases,
)


class HoldKind(StrEnum):
    """Why the pipeline refuses to send until a person releases it."""

    PERSON = "person"
    INDEXER_FORGOT = "indexer_forgot"
    LEDGER_LOST = "ledger_lost"
    CONTRADICTION = "contradiction"
    BREAKER = "breaker"
    RESTORED = "restored"
    ANOTHER_WORLD = "another_world"


@dataclass(frozen=True, slots=True)
class Signed:
    """Who does something, when, and why."""

    actor: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A refusal to send that lasts until a person releases it."""

    id: int
    kind: HoldKind
    detail: str
    raised: datetime
    raised_by: str


@dataclass(frozen=True, slots=True)
class Breaker:
    """What recent sending went like."""

    doubts_in_a_row: int
    openings_in_a_row: int
    one_at_a_time: bool
    token_refused: bool


_EPOCH: Final = select(func.max(epochs.c.number))
#: The number of the present epoch, within another statement.
THE_EPOCH: Final = _EPOCH.scalar_subquery()
_EPOCH_OPENED: Final = select(epochs.c.opened).order_by(epochs.c.number.desc()).limit(1)
_BREAKER: Final = select(breaker)
_CHANGING_BREAKER: Final = update(breaker)
_COUNTING_DOUBT: Final = update(breaker).values(doubts_in_a_row=breaker.c.doubts_in_a_row + 1)
_OPEN_HOLDS: Final = select(holds).where(holds.c.released.is_(None)).order_by(holds.c.id)


def current_epoch(connection: Connection) -> int:
    """The number of the present epoch: one life of the indexer's state, as persons decided."""
    return int(connection.execute(_EPOCH).scalar_one())


def epoch_opened(connection: Connection) -> datetime:
    """When the present epoch began; the first one always was."""
    opened: datetime = connection.execute(_EPOCH_OPENED).scalar_one()
    return opened


def open_holds(connection: Connection) -> list[Hold]:
    """The holds in force, oldest first."""
    rows = connection.execute(_OPEN_HOLDS)
    return [Hold(row.id, HoldKind(row.kind), row.detail, row.raised, row.raised_by) for row in rows]


def raise_hold(connection: Connection, kind: HoldKind, signed: Signed) -> bool:
    """Raise a hold; one of the same kind that is in force already stays as it is (False)."""
    if any(hold.kind is kind for hold in open_holds(connection)):
        return False
    connection.execute(
        insert(holds).values(kind=kind, detail=signed.reason, raised=signed.at, raised_by=signed.actor)
    )
    record(connection, Entry(signed.at, signed.actor, f"hold:{kind}", "raised", {"reason": signed.reason}))
    return True


def raise_hold_anew(connection: Connection, kind: HoldKind, signed: Signed) -> None:
    """Raise a hold as of now; one of the same kind that is in force already ends."""
    _release(connection, [hold for hold in open_holds(connection) if hold.kind is kind], signed)
    raise_hold(connection, kind, signed)


def release_holds(connection: Connection, signed: Signed) -> list[Hold]:
    """Release every hold in force, and close the breaker."""
    released = open_holds(connection)
    _release(connection, released, signed)
    calm = {"doubts_in_a_row": 0, "openings_in_a_row": 0, "one_at_a_time": True}
    connection.execute(_CHANGING_BREAKER, calm)
    return released


def _release(connection: Connection, released: list[Hold], signed: Signed) -> None:
    for hold in released:
        ended = {"released": signed.at, "released_by": signed.actor, "release_reason": signed.reason}
        connection.execute(update(holds).where(holds.c.id == hold.id).values(ended))
        told = {"reason": signed.reason}
        record(connection, Entry(signed.at, signed.actor, f"hold:{hold.kind}", "released", told))


def open_epoch(connection: Connection, signed: Signed) -> int:
    """Begin a new epoch, because the indexer's old state is lost.

    Every open attempt becomes moot, every open correction closed, and all purchases are judged
    anew. Raises TooEarly while a request may still take effect.
    """
    unsettled = attempts.c.state.in_([AttemptState.SENDING, AttemptState.IN_DOUBT])
    latest = connection.execute(select(func.max(attempts.c.settles_after)).where(unsettled)).scalar()
    if latest is not None and latest > signed.at:
        raise TooEarly(
            f"a request may still take effect until {latest:%Y-%m-%d %H:%M:%S} UTC; "
            "release --new-epoch after that"
        )
    _make_moot(connection, unsettled, signed)
    _close_open_corrections(connection, signed)
    number = current_epoch(connection) + 1
    connection.execute(
        insert(epochs).values(number=number, opened=signed.at, actor=signed.actor, reason=signed.reason)
    )
    connection.execute(delete(balances))
    connection.execute(update(credit_lines).values(current=False))
    mark_groups(connection, connection.execute(select(purchases.c.judged_with).distinct()).scalars())
    record(connection, Entry(signed.at, signed.actor, f"epoch:{number}", "opened", {"reason": signed.reason}))
    return number


def _make_moot(connection: Connection, unsettled: ColumnElement[bool], signed: Signed) -> None:
    for row in connection.execute(select(attempts.c.correction, attempts.c.number).where(unsettled)).all():
        subject, told = f"attempt:{row.correction}.{row.number}", {"reason": signed.reason}
        record(connection, Entry(signed.at, signed.actor, subject, AttemptState.MOOT, told))
    connection.execute(update(attempts).where(unsettled).values(state=AttemptState.MOOT))


def _close_open_corrections(connection: Connection, signed: Signed) -> None:
    kept = (CorrectionState.CONFIRMED, CorrectionState.EPOCH_CLOSED)
    is_open = corrections.c.state.not_in(kept)
    for name in connection.execute(select(corrections.c.id).where(is_open)).scalars():
        told = {"reason": signed.reason}
        record(connection, Entry(signed.at, signed.actor, f"correction:{name}", "epoch_closed", told))
    closed = {"state": CorrectionState.EPOCH_CLOSED, "reason": "epoch_closed", "changed": signed.at}
    connection.execute(update(corrections).where(is_open).values(closed))


def read_breaker(connection: Connection) -> Breaker:
    """What recent sending went like."""
    row = connection.execute(_BREAKER).one()
    return Breaker(row.doubts_in_a_row, row.openings_in_a_row, row.one_at_a_time, row.token_refused)


def note_answer(connection: Connection, effect: Effect) -> int:
    """Count what a request came to, and return how many in a row have ended in doubt by now.

    An acknowledged credit shows that the indexer answers again; one that had no effect shows neither.
    """
    if effect is Effect.APPLIED:
        well = {"doubts_in_a_row": 0, "openings_in_a_row": 0, "one_at_a_time": False}
        connection.execute(_CHANGING_BREAKER, well)
    elif effect is Effect.IN_DOUBT:
        connection.execute(_COUNTING_DOUBT)
    return read_breaker(connection).doubts_in_a_row


def open_breaker(connection: Connection, longest: int, signed: Signed, *, token_refused: bool) -> None:
    """End the sending of this run; the next begins with one at a time.

    After `longest` openings in a row a person must act. A refused token asks for no person: the
    next preflight tells.
    """
    openings = read_breaker(connection).openings_in_a_row + 1
    opened = {"doubts_in_a_row": 0, "openings_in_a_row": openings, "one_at_a_time": True}
    connection.execute(_CHANGING_BREAKER, opened | {"token_refused": token_refused})
    record(connection, Entry(signed.at, signed.actor, "breaker", "opened", {"reason": signed.reason}))
    if openings >= longest and not token_refused:
        told = f"the breaker opened {openings} times in a row: {signed.reason}"
        raise_hold(connection, HoldKind.BREAKER, Signed(signed.actor, signed.at, told))


def forget_refused_token(connection: Connection) -> None:
    """A preflight has proved a good token."""
    connection.execute(_CHANGING_BREAKER, {"token_refused": False})
