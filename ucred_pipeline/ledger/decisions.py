"""What persons decided about purchases, and how long it holds.

"Not credited" lapses, for good, when others credit the account after it: what they gave may be what the
person did not find, and it may be spent before the account is looked at again. So it does when the purchase
has another account than the one that the person looked at.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, func, insert, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.domain.judging_frames import Decision
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.mirror import mark_accounts_left
from ucred_pipeline.ledger.safety import THE_EPOCH, Signed, current_epoch
from ucred_pipeline.ledger.schema import attempts, balances, decisions, dirty_groups, purchases

#: What stands in the place of a decision that holds no more.
LAPSED: Final = "lapsed"
_OTHERS_GAVE: Final = "others have credited the account since"
_HAS_MOVED: Final = "the purchase has another account since"

_D: Final = decisions.c
_NEWEST: Final = select(func.max(_D.id)).where(_D.epoch == THE_EPOCH).group_by(_D.payment_intent)
_OF_MARKED: Final = (
    select(
        _D.payment_intent,
        _D.decision,
        _D.at,
        _D.balance,
        _D.account.label("decided_on"),
        purchases.c.account,
        balances.c.wei,
    )
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


#: Whether a person's word, that still holds, is that a purchase was never credited.
CALLED_NOT_CREDITED: Final = exists().where(
    _D.payment_intent == purchases.c.payment_intent,
    _D.decision == Decision.NOT_CREDITED,
    _D.id.in_(_NEWEST),
)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a person looked at who decided: the account, and what it held then, in wei."""

    account: str | None
    balance: int | None


def keep_decision(
    connection: Connection, payment_intent: str, decision: Decision, looked: Looked, signed: Signed
) -> None:
    """Keep what a person decided, with who and why, and about what."""
    _keep(connection, payment_intent, decision, looked, signed)
    told = {"decision": decision, "reason": signed.reason}
    record(connection, Entry(signed.at, signed.actor, f"purchase:{payment_intent}", "decided", told))


def lapse_decisions(connection: Connection, now: datetime) -> None:
    """End the decisions about marked purchases that hold no more."""
    for row in connection.execute(_OF_MARKED).all():
        why = _why_lapsed(connection, row) if row.decision == Decision.NOT_CREDITED else None
        if why is not None:
            signed = Signed("pipeline", now, why)
            _keep(connection, row.payment_intent, LAPSED, Looked(row.account, row.wei), signed)
            subject, told = f"purchase:{row.payment_intent}", {"reason": why}
            record(connection, Entry(now, signed.actor, subject, "decision_lapsed", told))
            mark_accounts_left(connection, [row.payment_intent])


def decisions_in_force(connection: Connection) -> dict[str, str]:
    """What was decided last about each marked purchase, and still holds."""
    return {row.payment_intent: row.decision for row in connection.execute(_OF_MARKED)}


def _keep(connection: Connection, payment_intent: str, decision: str, looked: Looked, signed: Signed) -> None:
    row = {"payment_intent": payment_intent, "epoch": current_epoch(connection), "decision": decision}
    about = {"account": looked.account, "balance": looked.balance}
    signature = {"at": signed.at, "actor": signed.actor, "reason": signed.reason}
    connection.execute(insert(decisions).values(**row, **about, **signature))


def _why_lapsed(connection: Connection, row: Any) -> str | None:
    """Why "not credited" holds no more; of one from before accounts were kept, that is taken for the same."""
    if row.decided_on not in {None, row.account}:
        return _HAS_MOVED
    return _OTHERS_GAVE if _given_by_others(connection, row) > 0 else None


def _given_by_others(connection: Connection, row: Any) -> int:
    """Wei that an account holds more than when it was decided, and that are not ours."""
    which = {"account": row.account, "since": row.at}
    ours = sum(connection.execute(_OWN_CREDITS, which).scalars())
    given: int = (row.wei or 0) - (row.balance or 0) - ours
    return given
