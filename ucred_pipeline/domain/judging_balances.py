"""Judging by balances: what an account's balance proves of those purchases that nothing else proves.

Let `room` be the balance B without the credits K that are known. Every credit of a purchase without proof
is in `room`, so without debits `room` bounds them from above, whatever else is in it (top-ups, credits of
purchases within grace, withdrawn or unclear): with `settled` the sum of what is owed past grace, at least
settled - room of it lacks. The oldest purchases are taken as covered first; the others lack. That is a
convention about names only. It is safe for any truth that fits the evidence: those that are called lacking
sum to at most settled - room, the credits that the settled ones have sum to at most room, so after crediting
the former they have at most what they are owed. Room that no sum of credits fills is none; the credits that
may fill it are those of the settled and of the purchases that were themselves corrected by convention.

Who shares the room decides what the covered ones are called:

- `unsettled` purchases may have a credit: within grace, not read whole, or with a correction in doubt;
- `rivals` may have one that they should not keep, or that nobody can attribute: withdrawn, unpaid, ambiguous.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Final

import numpy as np

from ucred_pipeline.domain.findings import Findings
from ucred_pipeline.domain.judging_frames import Evidence, Holdings, PurchaseFacts
from ucred_pipeline.domain.verdicts import Basis, Finding, Reason, Verdict
from ucred_pipeline.domain.wei_arrays import Bools, Ints, WeiArray

#: Beyond so many distinct sums, the sum that an account can reach is bounded by the amounts' divisor instead.
_MOST_SUMS: Final = 4096
_AFTER_CREDIT: Final = {
    Reason.REFUNDED: Reason.REFUNDED_AFTER_CREDIT,
    Reason.DISPUTED: Reason.DISPUTED_AFTER_CREDIT,
    Reason.VOIDED: Reason.VOIDED_AFTER_CREDIT,
}


@dataclass(frozen=True)
class Balances:
    """The accounts' balances against all that claims them; arrays by account unless said otherwise.

    By purchase are: `proofs`, the credits that are proved; `waiting`, whether its verdict is open; `due_us`,
    when its grace period ends; `unproved`, how many credits of one that has its verdict may be in the balance
    unseen; and `unclear`, whether those may still become what is owed.
    """

    facts: PurchaseFacts
    holdings: Holdings
    evidence: Evidence
    proofs: Ints
    waiting: Bools
    due_us: Ints
    unproved: Ints
    unclear: Bools

    @cached_property
    def outdated(self) -> Bools:
        """Whether the balance was read before the newest credit that is counted as known."""
        return np.less(self.holdings.as_of_us, self.holdings.proof_us)

    @cached_property
    def usable(self) -> Bools:
        """Whether the balance is evidence at all."""
        return self.holdings.balance_known & ~self.outdated

    @cached_property
    def past_grace(self) -> Bools:
        """Whether the grace period of a purchase is over by now."""
        return np.less_equal(self.due_us, self.evidence.now_us)

    @cached_property
    def settled(self) -> Bools:
        """Whether a waiting purchase's grace period was over when its account's balance was read."""
        seen_until = np.append(np.where(self.usable, self.holdings.as_of_us, -1), -1)[self.facts.account]
        return self.waiting & self.past_grace & (self.due_us <= seen_until)

    @cached_property
    def room(self) -> WeiArray:
        """What of the balance is not known to be something else; negative where it contradicts."""
        known = self.holdings.known_other + self.total(self.proofs)
        return self.holdings.balance - known

    @cached_property
    def rivals(self) -> WeiArray:
        """What purchases that are not owed, or not clear, may hold of the room: a mint, if they earn less."""
        return self.total(self._of_rivals, at_least=self.evidence.minted_wei or 0)

    @cached_property
    def _of_rivals(self) -> Ints:
        return np.where(self.unclear, 0, self.unproved)

    @cached_property
    def unsettled(self) -> WeiArray:
        """What may or may not have arrived for purchases that are not settled yet."""
        return self.total(np.where(self.unclear, self.unproved, self.waiting & ~self.settled))

    @cached_property
    def claims(self) -> WeiArray:
        """All that may be in the room without a top-up."""
        return self._owed + self.rivals

    @cached_property
    def surplus(self) -> Bools:
        """Whether the room has more than all that may have been earned."""
        return self._owed + self.total(self._of_rivals) < self.room

    @cached_property
    def _owed(self) -> WeiArray:
        return self.total(self.settled.astype(np.int64)) + self.unsettled

    @cached_property
    def whole(self) -> Bools:
        """Whether the room covers every claim."""
        return self.claims <= self.room

    @cached_property
    def in_doubt(self) -> Bools:
        """Whether a correction of the account is in doubt."""
        doubtful = np.zeros(len(self.usable), dtype=np.bool_)
        accounts = self.facts.account[self.facts.doubt]
        doubtful[accounts[accounts >= 0]] = True
        return doubtful

    @cached_property
    def in_play(self) -> Ints:
        """The settled purchases, and those that we corrected, by age.

        Which purchase was corrected may have been a convention: then the credit that it had already, unseen
        in the room, pays for a settled one.
        """
        by_age = self.facts.by_age
        return by_age[
            (self.settled | (self.facts.receipts > 0) | self.facts.corrected | self.facts.doubt)[by_age]
        ]

    def amounts_in_play(self, start: int, end: int) -> list[int]:
        """List what the credits of some purchases in play may be; a doubt may have one of each kind."""
        rows = self.in_play[start:end]
        doubtful = rows[self.facts.doubt[rows]]
        return self.facts.entitlement.take(np.concatenate([rows, doubtful])).to_ints()

    @cached_property
    def exact(self) -> bool:
        """Whether only purchases move a balance, so that the room is what they hold, no more and no less."""
        return not self.evidence.other_writers and not self.evidence.debits_possible

    @property
    def covered(self) -> Finding:
        """The finding for a purchase whose credit the room has space for."""
        reason = Reason.TOP_UPS_UNKNOWN if self.evidence.other_writers else Reason.BALANCE_COVERS
        return Finding(Verdict.CREDITED, Basis.BALANCE, reason)

    def of_purchases(self, by_account: Bools) -> Bools:
        """Spread what is known of accounts over their purchases; those without an account have nothing."""
        return np.append(by_account, [False])[self.facts.account]

    def total(self, counts: Ints, at_least: int = 0) -> WeiArray:
        """Sum the entitlements of each account, each so many times and raised to a least amount."""
        rows = self.facts.by_age[counts[self.facts.by_age] > 0]
        accounts = self.facts.account[rows]
        starts = starts_of(accounts)
        amounts = self.facts.entitlement.take(rows).raised_to(at_least)
        sums = amounts.times(counts[rows]).summed_by(starts)
        return WeiArray.zeros(len(self.usable)).replaced(accounts[starts], sums)


def starts_of(accounts: Ints) -> Ints:
    """Find where each run of the same account begins."""
    return np.flatnonzero(np.diff(accounts, prepend=-1))


def judge_by_balance(balances: Balances, findings: Findings) -> None:
    """Give every waiting purchase a finding, and look for more than is owed."""
    _without_balance(balances, findings)
    _refused_but_held(balances, findings)
    _young(balances, findings)
    if balances.evidence.debits_possible:
        _settled_where_debits_are_possible(balances, findings)
    else:
        _settled(balances, findings)
        _paid_elsewhere(balances, findings)
        _lines_that_the_balance_denies(balances, findings)
    if balances.exact:
        _withdrawn_but_held(balances, findings)
        _more_than_owed(balances, findings)


def _lines_that_the_balance_denies(balances: Balances, findings: Findings) -> None:
    """Believe no line of a log that is not proved complete where the account holds less than the lines say.

    Names and addresses are free text in the log: a line may be forged by one.
    """
    told = findings.having(verdict=Verdict.CREDITED, reason=Reason.LOG_LINE) | findings.having(
        verdict=Verdict.CREDITED, reason=Reason.MINT_LINE
    )
    denied = balances.of_purchases(balances.usable & balances.room.is_negative())
    findings.replace(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.BALANCE_BELOW_PROVEN), told & denied)


def _undecided(balances: Balances, findings: Findings, reason: Reason, basis: Basis, rows: Bools) -> None:
    """Leave a verdict that asks for no credit as it was; anything else waits."""
    for kept in (Verdict.CREDITED, Verdict.AMBIGUOUS):
        findings.give(Finding(kept, basis, reason), rows & balances.facts.previously[kept])
    findings.give(Finding(Verdict.PENDING, Basis.NONE, reason), rows)


def _without_balance(balances: Balances, findings: Findings) -> None:
    """Without a balance that is new enough nothing is decided."""
    blind = balances.waiting & ~balances.of_purchases(balances.usable)
    findings.give(Finding(Verdict.PENDING, Basis.NONE, Reason.WITHIN_GRACE), blind & ~balances.past_grace)
    outdated = balances.of_purchases(balances.holdings.balance_known & balances.outdated)
    _undecided(balances, findings, Reason.BALANCE_OUTDATED, Basis.NONE, blind & outdated)
    _undecided(balances, findings, Reason.BALANCE_UNKNOWN, Basis.NONE, blind)


def _refused_but_held(balances: Balances, findings: Findings) -> None:
    """A mint that was refused did not happen, and yet nothing seems to lack."""
    rows = (
        balances.waiting
        & balances.facts.mint_refused
        & balances.of_purchases(balances.whole & balances.usable)
    )
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.MINT_REFUSED_BUT_COVERED), rows)


def _young(balances: Balances, findings: Findings) -> None:
    """Within grace only a balance that covers everything says something."""
    young = balances.waiting & ~balances.settled
    findings.give(balances.covered, young & balances.of_purchases(balances.whole))
    findings.give(Finding(Verdict.PENDING, Basis.NONE, Reason.WITHIN_GRACE), young)


def _shared_with_unsettled(balances: Balances, findings: Findings, rows: Bools) -> None:
    """What may be another's credit for now leaves a purchase as it was."""
    doubtful = balances.of_purchases(balances.in_doubt)
    _undecided(balances, findings, Reason.SIBLING_IN_DOUBT, Basis.BALANCE, rows & doubtful)
    _undecided(balances, findings, Reason.SIBLING_WITHIN_GRACE, Basis.BALANCE, rows)


def _settled_where_debits_are_possible(balances: Balances, findings: Findings) -> None:
    """A low balance proves nothing where the customer may have spent."""
    settled = balances.settled
    findings.give(balances.covered, settled & balances.of_purchases(balances.whole))
    without_unsettled = balances.claims - balances.unsettled <= balances.room
    _shared_with_unsettled(balances, findings, settled & balances.of_purchases(without_unsettled))
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.DEBITS_POSSIBLE), settled)


@dataclass(frozen=True)
class Queue:
    """The settled purchases, account by account, the oldest first, with the sums up to each."""

    count: int
    rows: Ints
    accounts: Ints
    starts: Ints
    amounts: WeiArray
    upto: WeiArray

    @classmethod
    def of(cls, balances: Balances) -> "Queue":
        """Line up the settled purchases."""
        rows = balances.facts.by_age[balances.settled[balances.facts.by_age]]
        accounts = balances.facts.account[rows]
        starts = starts_of(accounts)
        run_of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
        amounts = balances.facts.entitlement.take(rows)
        return cls(len(balances.facts), rows, accounts, starts, amounts, amounts.running_by(starts, run_of))

    def in_table(self, queued: Bools) -> Bools:
        """Say of the table's rows what is known of the queue's."""
        found = np.zeros(self.count, dtype=np.bool_)
        found[self.rows[queued]] = True
        return found

    def within(self, by_account: WeiArray) -> Bools:
        """Whether an amount of its account has space for a purchase and all that are older."""
        return self.upto <= by_account.take(self.accounts)


def _settled(balances: Balances, findings: Findings) -> None:
    """Without debits, what the room has no space for is not there."""
    queue = Queue.of(balances)
    below = queue.in_table(balances.room.is_negative()[queue.accounts])
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.BALANCE_BELOW_PROVEN), below)
    _uncovered(balances, findings, queue)
    unshared = balances.room - balances.rivals
    findings.give(balances.covered, queue.in_table(queue.within(unshared - balances.unsettled)))
    _shared_with_unsettled(balances, findings, queue.in_table(queue.within(unshared)))
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.WITHDRAWN_MAY_COVER), balances.settled)


def _uncovered(balances: Balances, findings: Findings, queue: Queue) -> None:
    """Call lacking what the room has no space for, and ambiguous what it has some space for.

    Where all amounts are equal, some space is none: half a credit is no credit.
    """
    mixed = _mixed_accounts(balances)
    ceiling = _reachable_room(balances, queue, mixed)
    uncovered = ~queue.within(ceiling)
    partly = uncovered & mixed[queue.accounts] & (queue.upto - queue.amounts < ceiling.take(queue.accounts))
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.PARTLY_COVERED), queue.in_table(partly))
    odd = uncovered & _may_hold_other_mints(balances)[queue.accounts]
    findings.give(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.PARTLY_COVERED), queue.in_table(odd))
    findings.give(Finding(Verdict.LACKING, Basis.BALANCE, Reason.BALANCE_TOO_LOW), queue.in_table(uncovered))


def _paid_elsewhere(balances: Balances, findings: Findings) -> None:
    """Send nothing for what may have its credit where it was paid for, nor for whose place it then took.

    The oldest that lack may have what such a purchase was taken to have of the room.
    """
    facts = balances.facts
    flagged = balances.settled & facts.stripe_address_differs
    low = findings.having(verdict=Verdict.LACKING, reason=Reason.BALANCE_TOO_LOW)
    elsewhere = Finding(Verdict.AMBIGUOUS, Basis.NONE, Reason.STRIPE_ADDRESS_DIFFERS)
    findings.replace(elsewhere, flagged & low)
    held = flagged & ~low
    accounts = np.unique(facts.account[held])
    taken = balances.total(held.astype(np.int64)).take(accounts).to_ints()
    rooms = balances.room.take(accounts).to_ints()
    left = {int(account): min(told) for account, *told in zip(accounts, taken, rooms, strict=True)}
    displaced = reached_by(facts, left, low & ~flagged)
    findings.replace(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.WITHDRAWN_MAY_COVER), displaced)


def reached_by(facts: PurchaseFacts, spare: Mapping[int, int], rows: Bools) -> Bools:
    """Find those of the rows that the wei which an account has to spare may reach, the oldest first."""
    left = dict(spare)
    reached = np.zeros(len(facts), dtype=np.bool_)
    affected = facts.by_age[(rows & np.isin(facts.account, list(left)))[facts.by_age]]
    for row, amount in zip(affected.tolist(), facts.entitlement.take(affected).to_ints(), strict=True):
        account = int(facts.account[row])
        reached[row] = left[account] > 0
        left[account] -= amount
    return reached


def _may_hold_other_mints(balances: Balances) -> Bools:
    """Find the accounts whose room may be mints of another amount than their purchases earn."""
    minted = balances.evidence.minted_wei
    found = np.zeros(len(balances.usable), dtype=np.bool_)
    if minted is not None:
        rows = balances.in_play
        amounts, usual = balances.facts.entitlement.take(rows), WeiArray.of([minted] * len(rows))
        found[balances.facts.account[rows[(amounts < usual) | (usual < amounts)]]] = True
    return found & ~balances.room.is_zero()


def _mixed_accounts(balances: Balances) -> Bools:
    """Find the accounts in which different amounts may be what the room holds for the settled."""
    rows = balances.in_play
    accounts = balances.facts.account[rows]
    differs = balances.facts.entitlement.take(rows).differs_from_previous()
    differs[starts_of(accounts)] = False
    mixed = np.zeros(len(balances.usable), dtype=np.bool_)
    mixed[accounts[differs]] = True
    return mixed


def _reachable_room(balances: Balances, queue: Queue, mixed: Bools) -> WeiArray:
    """Lower the room of accounts with different amounts to the most that credits of theirs can sum to."""
    short = mixed[queue.accounts] & ~queue.within(balances.room)
    accounts = np.unique(queue.accounts[short])
    accounts = accounts[~balances.room.is_negative()[accounts]]
    in_play = balances.facts.account[balances.in_play]
    starts, ends = (np.searchsorted(in_play, accounts, side) for side in ("left", "right"))
    rooms = balances.room.take(accounts).to_ints()
    reachable = [
        largest_sum(balances.amounts_in_play(start, end), room)
        for start, end, room in zip(starts, ends, rooms, strict=True)
    ]
    return balances.room.replaced(accounts, WeiArray.of(reachable))


def largest_sum(amounts: list[int], limit: int) -> int:
    """Find the largest sum of some of the amounts that is not above the limit, or a bound above it."""
    sums = {0}
    for amount in amounts:
        sums |= {reached + amount for reached in sums if reached + amount <= limit}
        if len(sums) > _MOST_SUMS:
            divisor = gcd(*amounts)
            return limit // divisor * divisor
    return max(sums)


def _withdrawn_but_held(balances: Balances, findings: Findings) -> None:
    """Where only purchases move a balance that covers everything, what was withdrawn was credited as well."""
    held = (
        balances.of_purchases(balances.whole & balances.usable) & (balances.unproved > 0) & ~balances.unclear
    )
    for reason, after_credit in _AFTER_CREDIT.items():
        rows = held & findings.having(verdict=Verdict.WITHDRAWN, reason=reason)
        findings.replace(Finding(Verdict.WITHDRAWN, Basis.BALANCE, after_credit), rows)


def _more_than_owed(balances: Balances, findings: Findings) -> None:
    """A positive difference is not fine: it is shown at the account's newest credited purchase."""
    surplus = balances.of_purchases(balances.surplus & balances.usable)
    by_age = balances.facts.by_age
    credited = by_age[(surplus & findings.having(verdict=Verdict.CREDITED))[by_age]]
    newest = credited[
        np.append(starts_of(balances.facts.account[credited])[1:], len(credited))[: len(credited)] - 1
    ]
    rows = np.zeros(len(surplus), dtype=np.bool_)
    rows[newest] = True
    findings.replace(Finding(Verdict.OVER_CREDITED, Basis.BALANCE, Reason.BALANCE_EXCEEDS), rows)
