"""Reads corrections and their attempts; each statement is built once, for they run before every credit."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, RowMapping, Select, bindparam, func, select

from ucred_pipeline.domain.corrections import (
    ACTIVE,
    LIVE_ATTEMPT,
    Attempt,
    AttemptState,
    Correction,
    CorrectionState,
)
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.ledger.errors import LedgerContradiction
from ucred_pipeline.ledger.schema import attempts, corrections, credit_lines

_A_DAY: Final = timedelta(hours=24)
_C, _A = corrections.c, attempts.c

_OLDEST_FIRST: Final = select(corrections).order_by(_C.created, _C.id)
_BY_NAME: Final = select(corrections).where(_C.id == bindparam("name"))
_IN_STATES: Final = _OLDEST_FIRST.where(_C.state.in_(bindparam("states", expanding=True)))
_OF_PURCHASE: Final = _OLDEST_FIRST.where(_C.payment_intent == bindparam("payment_intent"))
_IN_EPOCH: Final = _OF_PURCHASE.where(_C.epoch == bindparam("epoch"))
_ANY: Final = select(_C.id).limit(1)
_UNDER_WAY: Final = _ANY.where(_C.account == bindparam("account"), _C.state.in_(sorted(ACTIVE)))

_ATTEMPTS: Final = select(attempts).where(_A.correction == bindparam("name")).order_by(_A.number)
_ONE_ATTEMPT: Final = _ATTEMPTS.where(_A.number == bindparam("attempt"))
_LIVE: Final = _A.state.in_(sorted(LIVE_ATTEMPT))
_LIVE_ATTEMPT: Final = _ATTEMPTS.where(_LIVE)
_LAST_NUMBER: Final = select(func.coalesce(func.max(_A.number), 0)).where(_A.correction == bindparam("name"))
_RESERVED: Final = select(_A.correction, _A.amount).where(_LIVE)
_RESERVED_IN_RUN: Final = _RESERVED.where(_A.run_id == bindparam("run_id"))
_RESERVED_SINCE: Final = _RESERVED.where(
    (_A.began > bindparam("since")) | (_A.state == AttemptState.IN_DOUBT)
)
_STATES_OF_RUN: Final = select(_A.state).where(_A.run_id == bindparam("run_id"))
_NAMED_THOUGH_NOT_APPLIED: Final = (
    select(attempts)
    .join(
        credit_lines,
        (credit_lines.c.account == _A.account)
        & (credit_lines.c.correction == _A.correction)
        & (credit_lines.c.attempt == _A.number),
    )
    .where(
        credit_lines.c.current,
        _A.state.in_([AttemptState.NOT_APPLIED, AttemptState.RESOLVED_NOT_APPLIED]),
    )
    .distinct()
)
_UNKNOWN: Final = (
    select(credit_lines.c.correction, credit_lines.c.attempt)
    .outerjoin(attempts, (_A.correction == credit_lines.c.correction) & (_A.number == credit_lines.c.attempt))
    .where(credit_lines.c.correction.is_not(None), _A.correction.is_(None))
    .distinct()
)


def find_corrections(connection: Connection, *, states: Iterable[CorrectionState]) -> list[Correction]:
    """The corrections in the given states, oldest first."""
    return _found(connection, _IN_STATES, {"states": list(states)})


def corrections_of(connection: Connection, payment_intent: str) -> list[Correction]:
    """Every correction of a purchase, of all epochs and kinds."""
    return _found(connection, _OF_PURCHASE, {"payment_intent": payment_intent})


def corrections_in_epoch(connection: Connection, payment_intent: str, epoch: int) -> list[Correction]:
    """The corrections of a purchase in one epoch, of all kinds."""
    return _found(connection, _IN_EPOCH, {"payment_intent": payment_intent, "epoch": epoch})


def find_correction(connection: Connection, name: str) -> Correction | None:
    """Read a correction by its id."""
    row = connection.execute(_BY_NAME, {"name": name}).mappings().first()
    return None if row is None else _correction(row)


def get_correction(connection: Connection, name: str) -> Correction:
    """Read a correction that must be there."""
    found = find_correction(connection, name)
    if found is None:
        raise LedgerContradiction(f"the ledger has no correction {name}")
    return found


def knows_no_correction(connection: Connection) -> bool:
    """Whether the ledger never planned a correction."""
    return connection.execute(_ANY).first() is None


def is_busy(connection: Connection, account: str) -> bool:
    """Whether a correction is under way on an account."""
    return connection.execute(_UNDER_WAY, {"account": account}).first() is not None


def attempts_of(connection: Connection, correction: str) -> list[Row[Any]]:
    """Every attempt of a correction as the ledger has it, first to last."""
    return list(connection.execute(_ATTEMPTS, {"name": correction}))


def attempt_row(connection: Connection, attempt: Attempt) -> Row[Any] | None:
    """One attempt as the ledger has it now."""
    return connection.execute(_ONE_ATTEMPT, {"name": attempt.correction, "attempt": attempt.number}).first()


def last_number(connection: Connection, correction: str) -> int:
    """The number of the newest attempt of a correction; 0 where there is none."""
    return int(connection.execute(_LAST_NUMBER, {"name": correction}).scalar_one())


def live_attempt(connection: Connection, correction: str) -> Attempt | None:
    """The one attempt of a correction that had, or may have had, an effect."""
    row = connection.execute(_LIVE_ATTEMPT, {"name": correction}).mappings().first()
    return None if row is None else _attempt(row)


def named_though_not_applied(connection: Connection) -> list[Attempt]:
    """The attempts that were held to have had no effect, and that a line of the indexer's log names."""
    return [_attempt(row) for row in connection.execute(_NAMED_THOUGH_NOT_APPLIED).mappings()]


def reserved_in_run(connection: Connection, run_id: str) -> tuple[set[str], int]:
    """The corrections that a run sent or may have sent, and what they come to, in wei."""
    rows = connection.execute(_RESERVED_IN_RUN, {"run_id": run_id}).all()
    return {row.correction for row in rows}, sum(row.amount for row in rows)


def states_of_run(connection: Connection, run_id: str) -> Counter[str]:
    """Count the attempts of a run by the states that they are in now."""
    return Counter(connection.execute(_STATES_OF_RUN, {"run_id": run_id}).scalars())


def reserved_in_a_day(connection: Connection, now: datetime) -> int:
    """Wei that was sent, or may have been, in the last 24 hours, and all that is still in doubt."""
    return sum(row.amount for row in connection.execute(_RESERVED_SINCE, {"since": now - _A_DAY}))


def unknown_attempts(connection: Connection) -> frozenset[str]:
    """The attempts of ours that the indexer's log shows and the ledger does not have, by their names."""
    return frozenset(f"{row.correction}.{row.attempt}" for row in connection.execute(_UNKNOWN))


def _found(connection: Connection, chosen: Select[Any], which: Mapping[str, Any]) -> list[Correction]:
    return [_correction(row) for row in connection.execute(chosen, which).mappings()]


def _attempt(row: RowMapping) -> Attempt:
    fields = {name: row[name] for name in Attempt.__dataclass_fields__}
    return Attempt(**fields | {"state": AttemptState(row["state"])})


def _correction(row: RowMapping) -> Correction:
    fields = {name: row[name] for name in Correction.__dataclass_fields__}
    return Correction(
        **fields | {"state": CorrectionState(row["state"]), "kind": CorrectionKind(row["kind"])}
    )
