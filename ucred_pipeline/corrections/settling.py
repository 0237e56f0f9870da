"""Settles doubts by evidence: the question is asked again, never the credit.

The ladder of the rules for crediting without idempotency: a line of the log that names the attempt;
a log proved complete past the time at which absence begins to count; the account's balance, read
twice; and last a person. Not yet applied is not never applied.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from ucred_pipeline.domain.clock import Clock, to_micros
from ucred_pipeline.domain.corrections import Attempt, Correction, CorrectionState
from ucred_pipeline.domain.state_root import GENESIS, state_root
from ucred_pipeline.ledger.corrections import CorrectionBook, find_corrections, live_attempt
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import BalanceSeen, account_is_quiet, balance_seen
from ucred_pipeline.ledger.reads import leave_note, note
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import credit_lines

_GENESIS_ROOT: Final = state_root(GENESIS)
_DOUBTS: Final = (CorrectionState.IN_DOUBT, CorrectionState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class SettlingRules:
    """What may happen on the ledger besides us, and when a person is asked."""

    other_writers: bool
    debits_possible: bool
    grace: timedelta
    quarantine_after: timedelta


@dataclass(frozen=True, slots=True)
class LogProof:
    """What the log is proved to cover: all credits up to a root that `/audit` gave at `audited`."""

    complete: bool
    audited: datetime
    root: str
    lives: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of the doubts of a run."""

    applied: int = 0
    not_applied: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the evidence says of a doubt."""

    applied: bool
    reason: str


class Settler:
    """Asks the evidence about every doubt."""

    def __init__(self, ledger: Ledger, book: CorrectionBook, clock: Clock, rules: SettlingRules) -> None:
        self._ledger = ledger
        self._book = book
        self._clock = clock
        self._rules = rules

    def settle(self, proof: LogProof | None) -> Settled:
        """Settle what can be settled, and put before a person what has waited too long."""
        with self._ledger.read() as connection:
            doubts = find_corrections(connection, states=_DOUBTS)
        conclusions = [self._settle_one(found, proof) for found in doubts]
        applied = sum(1 for found in conclusions if found and found.applied)
        not_applied = sum(1 for found in conclusions if found and not found.applied)
        return Settled(applied, not_applied, len(doubts) - applied - not_applied)

    def _settle_one(self, found: Correction, proof: LogProof | None) -> Conclusion | None:
        with self._ledger.write() as connection:
            attempt = live_attempt(connection, found.id)
            conclusion = self._conclude(connection, attempt, proof) if attempt else None
        if attempt is None:
            return None
        if conclusion is not None:
            signed = Signed("pipeline", self._clock.now(), conclusion.reason)
            if not self._book.settle(attempt, applied=conclusion.applied, signed=signed):
                return None
        elif found.state is CorrectionState.IN_DOUBT and self._has_waited(attempt):
            self._book.quarantine(attempt, "evidence_does_not_settle_it")
        return conclusion

    def _has_waited(self, attempt: Attempt) -> bool:
        return self._clock.now() > attempt.began + self._rules.quarantine_after

    def _conclude(
        self, connection: Connection, attempt: Attempt, proof: LogProof | None
    ) -> Conclusion | None:
        if _lines(connection, attempt):
            return Conclusion(applied=True, reason="log_names_the_attempt")
        if proof is not None and self._log_excludes(connection, attempt, proof):
            return Conclusion(applied=False, reason="complete_log_without_it")
        return self._by_balance(connection, attempt)

    def _log_excludes(self, connection: Connection, attempt: Attempt, proof: LogProof) -> bool:
        """Whether the log is complete past the quiescence, in the life in which the request was sent."""
        late_enough = proof.complete and proof.audited > attempt.settles_after
        return (
            late_enough
            and not self._rules.debits_possible
            and _same_life(connection, attempt.root_before, proof)
        )

    def _by_balance(self, connection: Connection, attempt: Attempt) -> Conclusion | None:
        seen = balance_seen(connection, attempt.account)
        if seen is None or seen.as_of <= attempt.settles_after:
            return None
        if not _seen_twice(connection, attempt, seen):
            return None
        others = self._rules.other_writers or not self._is_quiet(connection, attempt)
        return _by_difference(
            seen.wei - attempt.balance_before,
            attempt.amount,
            others=others,
            debits=self._rules.debits_possible,
        )

    def _is_quiet(self, connection: Connection, attempt: Attempt) -> bool:
        """Whether nothing was due on the account by the payments API, neither then nor since."""
        return attempt.account_quiet and account_is_quiet(
            connection, attempt.account, attempt.began - self._rules.grace
        )


def _by_difference(difference: int, amount: int, *, others: bool, debits: bool) -> Conclusion | None:
    """What an account's balance says, by who else may have moved it."""
    not_applied = Conclusion(applied=False, reason="balance_shows_none")
    applied = Conclusion(applied=True, reason="balance_shows_it")
    match others, debits:
        case False, False if difference in {0, amount}:
            return applied if difference else not_applied
        case True, False if 0 <= difference < amount:
            return not_applied
        case False, True if difference > 0:
            return applied
    return None


def _lines(connection: Connection, attempt: Attempt) -> int:
    c = credit_lines.c
    named = (
        (c.correction == attempt.correction) & (c.attempt == attempt.number) & (c.account == attempt.account)
    )
    return len(connection.execute(select(c.key).where(c.current, named)).all())


def _same_life(connection: Connection, root_before: str, proof: LogProof) -> bool:
    """Whether the root before the request stands on the chain of roots of the audited life."""
    if root_before in {_GENESIS_ROOT, proof.root}:
        return proof.lives == 1 or root_before == proof.root
    c = credit_lines.c
    return connection.execute(select(c.key).where(c.current, c.state_root == root_before)).first() is not None


def _seen_twice(connection: Connection, attempt: Attempt, seen: BalanceSeen) -> bool:
    """Whether an earlier read, late enough as well, saw the same balance: one read settles nothing."""
    name = f"doubt:{attempt.name}"
    before = note(connection, name)
    now = {"wei": str(seen.wei), "as_of_us": to_micros(seen.as_of)}
    if before is not None and before["wei"] == now["wei"] and before["as_of_us"] < now["as_of_us"]:
        return True
    leave_note(connection, name, now)
    return False
