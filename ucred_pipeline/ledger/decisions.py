"""What persons decided about purchases, and how long it holds.

"Not credited" lapses, for good, when others credit the account after it: what they gave may be what the
person did not find, and it may be spent before the account is looked at again.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.domain.judging_frames import Decision
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.safety import THE_EPOCH, Signed, current_epoch
from ucred_pipeline.ledger.schema import attempts, balances, decisions, dirty_groups, purchases

#: What stands in the place of a decision that holds no more.
LAPSED: Final = "lapsed"
_WHY: Final = "others have credited the account since"

_D: Final = decisions.c
_NEWEST: Final = select(func.max(_D.id)).where(_D.epoch == THE_EPOCH).group_by(_D.payment_intent)
_OF_MARKED: Final = (
    select(_D.payment_intent, _D.decision, _D.at, _D.balance, purchases.c.account, balances.c.wei)
    .join(purchases, purchases.c.payment_intent == _D.payment_intent)
    .join(dirty_groups, dirty_groups.c.judged_with == purchases.c.judged_with)
    .outerjoin(balances, balances.c.account == purchases.c.account)
    .where(_D.id.in_(_NEWEST), _D.decision != LAPSED)
    .order_by(_D.id)
)
_OWN_CREDITS: Final = select(attempts.c.amount).where(
    attempts.c.account == bindparam("account"),
    attempts.c.state == AttemptState.APPLIED,
    attempts.c.began >= bindparam("since"),
)


def keep_decision(
    connection: Connection, payment_intent: str, decision: Decision, balance: int | None, signed: Signed
) -> None:
    """Keep what a person decided, with who and why, and what the account held then, in wei."""
    _keep(connection, payment_intent, decision, balance, signed)
    told = {"decision": decision, "reason": signed.reason}
    record(connection, Entry(signed.at, signed.actor, f"purchase:{payment_intent}", "decided", told))


def lapse_decisions(connection: Connection, now: datetime) -> None:
    """End the decisions about marked purchases that hold no more."""
    signed = Signed("pipeline", now, _WHY)
    for row in connection.execute(_OF_MARKED).all():
        if row.decision == Decision.NOT_CREDITED and _given_by_others(connection, row) > 0:
            _keep(connection, row.payment_intent, LAPSED, row.wei, signed)
            subject, told = f"purchase:{row.payment_intent}", {"reason": _WHY}
            record(connection, Entry(now, signed.actor, subject, "decision_lapsed", told))


def decisions_in_force(connection: Connection) -> dict[str, str]:
    """What was decided last about each marked purchase, and still holds."""
    return {row.payment_intent: row.decision for row in connection.execute(_OF_MARKED)}


def _keep(
    connection: Connection, payment_intent: str, decision: str, balance: int | None, signed: Signed
) -> None:
    row = {"payment_intent": payment_intent, "epoch": current_epoch(connection), "decision": decision}
    signature = {"at": signed.at, "actor": signed.actor, "reason": signed.reason}
    connection.execute(insert(decisions).values(**row, balance=balance, **signature))


def _given_by_others(connection: Connection, row: Any) -> int:
    """Wei that an account holds more than when it was decided, and that are not ours."""
    which = {"account": row.account, "since": row.at}
    ours = sum(connection.execute(_OWN_CREDITS, which).scalars())
    given: int = (row.wei or 0) - (row.balance or 0) - ours
    return given
