"""Settles doubts by evidence: the question is asked again, never the credit.

The ladder of the rules for crediting without idempotency: a line of the log that names the attempt;
a log proved complete past the time at which absence begins to count; the state root, where all
balances are known; the account's balance, read twice; and last a person. Not yet applied is not
never applied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from ucred_pipeline.domain.clock import Clock, from_micros, to_micros
from ucred_pipeline.domain.corrections import (
    LIVE_ATTEMPT,
    Attempt,
    AttemptState,
    Correction,
    CorrectionState,
)
from ucred_pipeline.domain.root_proofs import Credited, took_effect
from ucred_pipeline.domain.state_root import GENESIS, UCRED, Balances, state_root
from ucred_pipeline.ledger.anchors import sent_anchors
from ucred_pipeline.ledger.correction_rows import find_corrections, live_attempt
from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.purchases import BalanceSeen, account_is_quiet, balance_seen
from ucred_pipeline.ledger.reads import LAST_AUDIT, Source, doubt_note, last_closed, leave_note, note
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import attempts, balances, credit_lines

#: The longest time between the look at the root and the request that follows it.
_READS_TAKE: Final = timedelta(minutes=10)
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


#: Reads what the log is proved to cover, within the transaction that reads its lines.
ReadsProof = Callable[[Connection], LogProof | None]


@dataclass(frozen=True, slots=True)
class KnownState:
    """Every balance that the indexer has, which its `root`, read at `audited`, proves."""

    balances: Balances
    root: str
    audited: datetime


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

    def settle(self, proof: ReadsProof) -> Settled:
        """Settle what can be settled, and put before a person what has waited too long.

        What the log is proved to cover is asked anew for each doubt, beside its lines: another run may have
        replaced them by those of an older copy. What was settled before is held against its lines as well.
        """
        self._book.contradict_by_log()
        with self._ledger.read() as connection:
            doubts = find_corrections(connection, states=_DOUBTS)
            known = known_state(connection) if doubts else None
        conclusions = [self._settle_one(found, proof, known) for found in doubts]
        applied = sum(1 for found in conclusions if found and found.applied)
        not_applied = sum(1 for found in conclusions if found and not found.applied)
        return Settled(applied, not_applied, len(doubts) - applied - not_applied)

    def _settle_one(
        self, found: Correction, proof: ReadsProof, known: KnownState | None
    ) -> Conclusion | None:
        with self._ledger.write() as connection:
            attempt = live_attempt(connection, found.id)
            conclusion = self._conclude(connection, attempt, proof(connection), known) if attempt else None
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
        self, connection: Connection, attempt: Attempt, proof: LogProof | None, known: KnownState | None
    ) -> Conclusion | None:
        if _lines(connection, attempt):
            return Conclusion(applied=True, reason="log_names_the_attempt")
        if proof is not None and self._log_excludes(connection, attempt, proof):
            return Conclusion(applied=False, reason="complete_log_without_it")
        if not _is_of_this_life(connection, attempt):
            return None
        by_root = self._by_root(connection, attempt, known) if known is not None else None
        return by_root or self._by_balance(connection, attempt)

    def _log_excludes(self, connection: Connection, attempt: Attempt, proof: LogProof) -> bool:
        """Whether the log is complete past the quiescence, in the life in which the request was sent."""
        late_enough = proof.complete and proof.audited > attempt.settles_after
        return (
            late_enough
            and not self._rules.debits_possible
            and _same_life(connection, attempt.root_before, proof)
        )

    def _by_root(self, connection: Connection, attempt: Attempt, known: KnownState) -> Conclusion | None:
        """Conclude from the root before and the whole state past the quiescence.

        That it was applied is concluded on a quiet account only: the one that is left to assume is that
        nobody gives this account exactly this amount while nothing else changes.
        """
        if self._rules.debits_possible or known.audited <= attempt.settles_after:
            return None
        since, perhaps = _others_of_ours(connection, attempt)
        doubtful = Credited(attempt.name, attempt.account, attempt.amount)
        took = took_effect(known.balances, attempt.root_before, since, [doubtful, *perhaps])
        if took is None:
            return None
        if attempt.name not in took:
            return Conclusion(applied=False, reason="root_shows_none")
        seen = balance_seen(connection, attempt.account)
        first = _first_seen(connection, attempt, seen) if seen else None
        quiet = first is not None and self._is_quiet(connection, attempt, first)
        return Conclusion(applied=True, reason="root_shows_it") if quiet else None

    def _by_balance(self, connection: Connection, attempt: Attempt) -> Conclusion | None:
        seen = balance_seen(connection, attempt.account)
        if seen is None or seen.as_of <= attempt.settles_after:
            return None
        first = _first_seen(connection, attempt, seen)
        if first is None:
            return None
        others = self._rules.other_writers or not self._is_quiet(connection, attempt, first)
        return _by_difference(
            seen.wei - attempt.balance_before,
            attempt.amount,
            others=others,
            debits=self._rules.debits_possible,
        )

    def _is_quiet(self, connection: Connection, attempt: Attempt, until: datetime) -> bool:
        """Whether nobody else is known to have credited the account until then, or to have been about to.

        Nothing was due by the payments API, neither at the request nor since, as a read of its records shows
        that began later; and no line of the log is another's.
        """
        records = last_closed(connection, Source.PAYMENTS_DATABASE)
        return (
            attempt.account_quiet
            and records is not None
            and records.began > until
            and account_is_quiet(connection, attempt.account, attempt.began - self._rules.grace)
            and not _others_lines(connection, attempt)
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


def known_state(connection: Connection) -> KnownState | None:
    """All that the indexer holds, where the mirrored balances reproduce the root that it gave last."""
    audit = note(connection, LAST_AUDIT)
    if audit is None:
        return None
    rows = connection.execute(select(balances.c.account, balances.c.wei)).all()
    held = {**GENESIS, **{(UCRED, row.account): row.wei for row in rows}}
    if state_root(held) != audit["root"]:
        return None
    return KnownState(held, audit["root"], from_micros(audit["began_us"]))


def _others_of_ours(connection: Connection, doubt: Attempt) -> tuple[list[Credited], list[Credited]]:
    """Our other credits that surely took effect after the doubt's root was read, and those that perhaps did.

    One that began after the doubt is surely later than its root. One that ended before it by more than the
    reads before a request can take is surely earlier; whatever lies between, and other doubts, is perhaps.
    Those of its own account are all earlier, as no two of an account are under way at once: to take one for
    perhaps later would let a gift that is worth both pass for the doubtful one.
    """
    a = attempts.c
    chosen = select(a.correction, a.number, a.account, a.amount, a.state, a.began, a.finished).where(
        a.state.in_(sorted(LIVE_ATTEMPT)),
        a.account != doubt.account,
        a.finished.is_(None) | (a.finished > doubt.began - _READS_TAKE),
    )
    since: list[Credited] = []
    perhaps: list[Credited] = []
    for row in connection.execute(chosen):
        found = Credited(f"{row.correction}.{row.number}", row.account, row.amount)
        later = row.state == AttemptState.APPLIED and row.began > doubt.began
        (since if later else perhaps).append(found)
    for anchor, acknowledged in sent_anchors(connection):
        if acknowledged is None or acknowledged > doubt.began - _READS_TAKE:
            perhaps.append(Credited(anchor.memo, anchor.account, anchor.amount))
    return since, perhaps


def _lines(connection: Connection, attempt: Attempt) -> int:
    c = credit_lines.c
    named = (
        (c.correction == attempt.correction) & (c.attempt == attempt.number) & (c.account == attempt.account)
    )
    return len(connection.execute(select(c.key).where(c.current, named)).all())


def _others_lines(connection: Connection, attempt: Attempt) -> bool:
    """Whether the log, though it may have gaps, has ever shown a credit by another since we looked.

    A line that the log has lost since, as by rotation, was nevertheless there.
    """
    c = credit_lines.c
    since = c.at > attempt.began - _READS_TAKE
    chosen = select(c.key).where(c.account == attempt.account, c.correction.is_(None), since)
    return connection.execute(chosen.limit(1)).first() is not None


def _same_life(connection: Connection, root_before: str, proof: LogProof) -> bool:
    """Whether the root before the request stands on the chain of roots of the audited life."""
    if root_before in {_GENESIS_ROOT, proof.root}:
        return proof.lives == 1 or root_before == proof.root
    c = credit_lines.c
    return connection.execute(select(c.key).where(c.current, c.state_root == root_before)).first() is not None


def _is_of_this_life(connection: Connection, attempt: Attempt) -> bool:
    """Whether the balances are those of the state that the request was sent to.

    A restart and a request that took effect after it may leave an account as it was. One that held nothing
    shows what it has now; one that held something needs a witness that still holds what it held.
    """
    if attempt.balance_before == 0:
        return True
    if attempt.witness is None or attempt.witness_wei is None:
        return False
    seen = balance_seen(connection, attempt.witness)
    return seen is not None and seen.as_of > attempt.settles_after and seen.wei >= attempt.witness_wei


def _first_seen(connection: Connection, attempt: Attempt, seen: BalanceSeen) -> datetime | None:
    """When an earlier read, late enough as well, saw the same balance; None for the first of them."""
    name = doubt_note(attempt.name)
    before = note(connection, name)
    now = {"wei": str(seen.wei), "as_of_us": to_micros(seen.as_of)}
    if before is not None and before["wei"] == now["wei"] and before["as_of_us"] < now["as_of_us"]:
        return from_micros(before["as_of_us"])
    leave_note(connection, name, now)
    return None
