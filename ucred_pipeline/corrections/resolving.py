"""A person settles what the evidence cannot: a doubt, or a purchase whose evidence contradicts itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ucred_pipeline.domain.corrections import Attempt, CorrectionState
from ucred_pipeline.domain.judging_frames import Decision
from ucred_pipeline.domain.verdicts import Reason, Verdict
from ucred_pipeline.ledger.breaks import Break
from ucred_pipeline.ledger.correction_rows import corrections_of, live_attempt
from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.decisions import Looked, keep_decision
from ucred_pipeline.ledger.mirror import mark_accounts_left, mark_groups
from ucred_pipeline.ledger.purchases import balance_seen, find_purchase, mirrored_balance
from ucred_pipeline.ledger.safety import Signed

_IN_PART = (
    "a part of it is credited, and the whole would be sent on top; credit the rest by hand, "
    "see docs/runbook.md, A credit of another amount"
)
_DENIED = (
    "its account holds less than it would with the credit; settle it as not credited, or, where the indexer "
    "has forgotten, release with --new-epoch"
)
_DOUBTS = (CorrectionState.IN_DOUBT, CorrectionState.QUARANTINED)


class CannotResolve(Exception):
    """This break is not one that a person settles so; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Settles breaks as persons decide; `grace` is how long after a certificate others may still mint."""

    ledger: Ledger
    book: CorrectionBook
    grace: timedelta
    debits_possible: bool = False

    def resolve(self, found: Break, decision: Decision, signed: Signed) -> None:
        """Settle a break as a person decided; what was decided is kept with who and why."""
        doubt = self._doubt_of(found)
        if doubt is not None:
            self._resolve_doubt(doubt, decision, signed)
        elif found.kind == Verdict.IN_DOUBT:
            raise CannotResolve("its correction is still being sent; ask again when the run has ended")
        elif found.kind == Verdict.AMBIGUOUS:
            with self.ledger.write() as connection:
                self._decide(connection, found, decision, signed)
        elif not self._retry_refused(found, decision, signed):
            raise CannotResolve(
                f"a break of the kind {found.kind} is not settled by a decision; see docs/runbook.md, Breaks"
            )

    def _retry_refused(self, found: Break, decision: Decision, signed: Signed) -> bool:
        """Send again what the indexer refused, once a person says that it is not credited and may go."""
        if decision is not Decision.NOT_CREDITED:
            return False
        with self.ledger.read() as connection:
            known = corrections_of(connection, found.payment_intent)
        return any(self.book.retry_refused(one.id, signed) for one in known)

    def _resolve_doubt(self, attempt: Attempt, decision: Decision, signed: Signed) -> None:
        applied = decision is Decision.CREDITED
        if not applied and signed.at <= attempt.settles_after:
            raise CannotResolve(_too_early("the request may still take effect until", attempt.settles_after))
        if applied and self._is_denied_by_balance(attempt):
            raise CannotResolve(_DENIED)
        if not self.book.settle(attempt, applied=applied, signed=signed):
            raise CannotResolve("it has just been settled; look at the break again")

    def _doubt_of(self, found: Break) -> Attempt | None:
        """The doubtful attempt of a break's purchase; others may have credited it twice meanwhile."""
        with self.ledger.read() as connection:
            known = corrections_of(connection, found.payment_intent)
            doubtful = [one for one in known if one.state in _DOUBTS]
            return live_attempt(connection, doubtful[0].id) if doubtful else None

    def _is_denied_by_balance(self, attempt: Attempt) -> bool:
        """Whether its account has held less, since it had its time, than it must with it."""
        with self.ledger.read() as connection:
            seen = balance_seen(connection, attempt.account)
        if seen is None or seen.as_of <= attempt.settles_after or self.debits_possible:
            return False
        return seen.wei < attempt.balance_before + attempt.amount

    def _decide(self, connection: Connection, found: Break, decision: Decision, signed: Signed) -> None:
        purchase = find_purchase(connection, found.payment_intent)
        if purchase is not None and decision is Decision.NOT_CREDITED:
            if purchase.reason == Reason.CREDITED_IN_PART:
                raise CannotResolve(_IN_PART)
            since = purchase.due_since or purchase.created
            if signed.at - self.grace < since:
                still = f"the payments API may still mint for it, for {self.grace} from"
                raise CannotResolve(_too_early(still, since))
        seen = mirrored_balance(connection, found.account) if found.account else None
        keep_decision(connection, found.payment_intent, decision, Looked(found.account, seen), signed)
        if purchase is not None:
            mark_groups(connection, [purchase.judged_with])
            mark_accounts_left(connection, [found.payment_intent])


def _too_early(what: str, until: datetime) -> str:
    return f"{what} {until:%Y-%m-%d %H:%M:%S} UTC; settle it as not credited after that"
