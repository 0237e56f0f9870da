"""The judge: a verdict for each purchase of whole accounts, from all the evidence there is.

Never crediting twice comes first, never missing a credit silently second; in doubt, a person decides.
Rules are tried in the order in which they stand here, and the first that applies gives the verdict:
what needs no evidence of others, then positive proof, a person's decision, contradictions, and last the
absence of proof, by the log where it is complete and by the balance otherwise (`judging_balances`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from ucred_pipeline.domain.findings import Findings
from ucred_pipeline.domain.judging_balances import Balances, judge_by_balance, reached_by
from ucred_pipeline.domain.judging_frames import Decision, Evidence, Holdings, PurchaseFacts
from ucred_pipeline.domain.verdicts import Basis, Finding, Reason, Verdict
from ucred_pipeline.domain.wei_arrays import Bools, Ints


@dataclass(frozen=True)
class Case:
    """The purchases with what follows from them and from the log, before any balance is looked at."""

    facts: PurchaseFacts
    evidence: Evidence

    @cached_property
    def due_us(self) -> Ints:
        """When the grace period of each purchase ends."""
        facts = self.facts
        return np.where(facts.due_since_us < 0, facts.created_us, facts.due_since_us) + self.evidence.grace_us

    @cached_property
    def past_grace(self) -> Bools:
        """Whether it is over by now."""
        return np.less_equal(self.due_us, self.evidence.now_us)

    @cached_property
    def log_speaks(self) -> Bools:
        """Whether the absence of a line proves the absence of a credit."""
        until = min(self.evidence.log_as_of_us, self.evidence.now_us)
        return np.logical_and(self.due_us <= until, self.evidence.log_proves_absence)

    @cached_property
    def mint_proves(self) -> Bools:
        """Whether a Minted line is proof of a credit of its own.

        It is not where the indexer's log shows the credit or the lack of it, nor where it may be about
        another purchase of the same namespace.
        """
        facts = self.facts
        has_line = np.greater(facts.lines, 0) | facts.credited_in_part
        return facts.minted & ~has_line & ~facts.shares_namespace & ~self.log_speaks

    @cached_property
    def proofs(self) -> Ints:
        """How many credits are proved to be this purchase's."""
        return self.facts.receipts + self.facts.lines + self.mint_proves

    @cached_property
    def proved(self) -> Bools:
        """Whether there is one at least."""
        return np.greater(self.proofs, 0)

    @cached_property
    def touched(self) -> Bools:
        """Whether there is one, or a part of one."""
        return self.proved | self.facts.credited_in_part

    @cached_property
    def dated_ahead(self) -> Bools:
        """Whether it fell due in a time that is not yet, beyond all that clocks may differ."""
        return np.greater(self.due_us, self.evidence.now_us + 2 * self.evidence.grace_us)

    @cached_property
    def certified(self) -> Bools:
        """Whether a certificate exists."""
        return np.greater(self.facts.issued_rows, 0)

    @cached_property
    def nothing_owed(self) -> Bools:
        """Whether the reward is nothing."""
        return self.facts.entitlement.is_zero()

    @cached_property
    def unpaid(self) -> Bools:
        """Whether it is known, and no longer early, that no money came."""
        return ~self.facts.succeeded & self.facts.stripe_whole & self.past_grace

    @cached_property
    def no_account(self) -> Bools:
        """Whether no record names the customer."""
        return np.less(self.facts.account, 0)

    @cached_property
    def credited_in_namesake(self) -> Bools:
        """Whether another purchase of the same namespace and account has a line, or a part, and this not."""
        facts = self.facts
        rows = np.flatnonzero(facts.shares_namespace & ~self.no_account)
        group = pd.DataFrame({"account": facts.account[rows], "namespace": facts.namespace.iloc[rows].array})
        own = facts.lines[rows] + facts.credited_in_part[rows]
        lines = pd.Series(own).groupby([group["account"], group["namespace"]], dropna=False)
        found = np.zeros(len(facts), dtype=np.bool_)
        found[rows] = lines.transform("sum").to_numpy() > own
        return found


@dataclass(frozen=True, slots=True)
class Rule:
    """One finding, and the purchases that it is for unless an earlier rule was for them."""

    finding: Finding
    applies: Callable[[Case], Bools]


def _rule(verdict: Verdict, basis: Basis, reason: Reason, applies: Callable[[Case], Bools]) -> Rule:
    return Rule(Finding(verdict, basis, reason), applies)


def _proof(verdict: Verdict, reason: Reason, applies: Callable[[Case], Bools]) -> Iterator[Rule]:
    """Name the better proof as the basis: our own receipt, then a log."""
    yield _rule(verdict, Basis.RECEIPT, reason, lambda case: applies(case) & (case.facts.receipts > 0))
    yield _rule(verdict, Basis.LOG, reason, applies)


def _withdrawn(applies: Callable[[Case], Bools], reason: Reason, after_credit: Reason) -> Iterator[Rule]:
    """Say of what is no longer owed whether it was credited."""
    yield from _proof(Verdict.WITHDRAWN, after_credit, lambda case: applies(case) & case.touched)
    yield _rule(Verdict.WITHDRAWN, Basis.NONE, reason, applies)


def _kept(verdict: Verdict, reason: Reason, applies: Callable[[Case], Bools]) -> Rule:
    """Leave a verdict as it was."""
    return _rule(verdict, Basis.NONE, reason, lambda case: applies(case) & case.facts.previously[verdict])


def _excess_rules() -> Iterator[Rule]:
    """More than is owed alarms most, so it comes before what the purchase itself has come to."""
    yield from _proof(
        Verdict.OVER_CREDITED,
        Reason.CREDITED_TWICE,
        lambda case: (case.proofs > 1) | (case.proved & case.facts.credited_in_part),
    )
    yield from _proof(
        Verdict.OVER_CREDITED, Reason.CREDITED_WITHOUT_REWARD, lambda case: case.proved & case.nothing_owed
    )


def _withdrawn_rules() -> Iterator[Rule]:
    """Money that went back, or may, earns nothing."""
    yield from _withdrawn(lambda case: case.facts.refunded, Reason.REFUNDED, Reason.REFUNDED_AFTER_CREDIT)
    yield from _withdrawn(lambda case: case.facts.disputed, Reason.DISPUTED, Reason.DISPUTED_AFTER_CREDIT)
    yield from _withdrawn(lambda case: case.facts.voided, Reason.VOIDED, Reason.VOIDED_AFTER_CREDIT)


def _unpaid_rules() -> Iterator[Rule]:
    """Without the money nothing is owed; proof of a credit then alarms, once Stripe is known whole."""
    yield from _proof(
        Verdict.UNPAID,
        Reason.UNPAID_AFTER_CREDIT,
        lambda case: case.unpaid & case.certified & case.proved,
    )
    yield from _proof(
        Verdict.OVER_CREDITED,
        Reason.CREDITED_WITHOUT_PAYMENT,
        lambda case: case.unpaid & ~case.certified & case.proved,
    )
    yield _rule(
        Verdict.UNPAID,
        Basis.NONE,
        Reason.PAYMENT_MISSING,
        lambda case: case.unpaid & case.certified & ~case.facts.payment_known,
    )
    yield _rule(
        Verdict.UNPAID, Basis.NONE, Reason.PAYMENT_NOT_SUCCEEDED, lambda case: case.unpaid & case.certified
    )
    yield from _not_yet_paid_rules()


def _unproved_unpaid(case: Case) -> Bools:
    return ~case.facts.succeeded & ~case.proved


def _not_yet_paid_rules() -> Iterator[Rule]:
    """Too early, or too little read, to call it unpaid."""
    yield _rule(
        Verdict.PENDING,
        Basis.NONE,
        Reason.NOT_PAID,
        lambda case: _unproved_unpaid(case) & ~case.certified,
    )
    yield _rule(
        Verdict.PENDING,
        Basis.NONE,
        Reason.WITHIN_GRACE,
        lambda case: _unproved_unpaid(case) & ~case.past_grace,
    )
    for verdict in (Verdict.CREDITED, Verdict.AMBIGUOUS, Verdict.UNPAID):
        yield _kept(verdict, Reason.STRIPE_NOT_WHOLE, _unproved_unpaid)
    yield _rule(Verdict.PENDING, Basis.NONE, Reason.STRIPE_NOT_WHOLE, _unproved_unpaid)


def _awaits_certificate(case: Case) -> Bools:
    return case.facts.succeeded & ~case.certified & case.facts.needs_certificate & ~case.proved


def _certificate_rules() -> Iterator[Rule]:
    """One payment earns one certificate."""
    yield _rule(
        Verdict.UNISSUED,
        Basis.NONE,
        Reason.NO_CERTIFICATE,
        lambda case: _awaits_certificate(case) & case.past_grace,
    )
    yield _rule(Verdict.PENDING, Basis.NONE, Reason.WITHIN_GRACE, _awaits_certificate)
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.NONE,
        Reason.TWO_CERTIFICATES,
        lambda case: (case.facts.issued_rows > 1) & ~_decided(case),
    )


def _decided(case: Case) -> Bools:
    return np.logical_or(*case.facts.decided.values())


def _proof_rules() -> Iterator[Rule]:
    """One credit for what is owed: as it should be."""
    yield _rule(Verdict.CREDITED, Basis.RECEIPT, Reason.RECEIPT, lambda case: case.facts.receipts > 0)
    yield _rule(Verdict.CREDITED, Basis.LOG, Reason.LOG_LINE, lambda case: case.facts.lines > 0)
    yield _rule(Verdict.CREDITED, Basis.LOG, Reason.MINT_LINE, lambda case: case.proved)
    yield _rule(Verdict.CREDITED, Basis.NONE, Reason.NOTHING_OWED, lambda case: case.nothing_owed)


def _decided_not_credited(case: Case) -> Bools:
    return case.facts.decided[Decision.NOT_CREDITED]


def _decision_rules() -> Iterator[Rule]:
    """A person settles what evidence could not; only what is owed and due may be credited for it."""
    yield _rule(
        Verdict.CREDITED,
        Basis.NONE,
        Reason.DECIDED_BY_PERSON,
        lambda case: case.facts.decided[Decision.CREDITED],
    )
    yield _rule(
        Verdict.AMBIGUOUS, Basis.LOG, Reason.CREDITED_IN_PART, lambda case: case.facts.credited_in_part
    )
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.NONE,
        Reason.ACCOUNT_UNKNOWN,
        lambda case: case.no_account & case.past_grace,
    )
    yield _rule(
        Verdict.PENDING,
        Basis.NONE,
        Reason.WITHIN_GRACE,
        lambda case: (case.no_account | _decided_not_credited(case)) & ~case.past_grace,
    )
    yield _rule(
        Verdict.PENDING,
        Basis.NONE,
        Reason.STRIPE_NOT_WHOLE,
        lambda case: _decided_not_credited(case) & ~case.facts.stripe_whole,
    )
    yield _rule(Verdict.LACKING, Basis.NONE, Reason.DECIDED_BY_PERSON, _decided_not_credited)


def _contradiction_rules() -> Iterator[Rule]:
    """Evidence that points both ways is for a person."""
    yield _rule(
        Verdict.AMBIGUOUS, Basis.NONE, Reason.ADDRESSES_DIFFER, lambda case: case.facts.addresses_differ
    )
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.LOG,
        Reason.CREDITED_ELSEWHERE,
        lambda case: case.facts.lines_other_case > 0,
    )
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.LOG,
        Reason.NAMESPACE_SHARED,
        lambda case: case.credited_in_namesake | (case.facts.minted & case.facts.shares_namespace),
    )
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.LOG,
        Reason.UNEXPLAINED_CREDIT,
        lambda case: case.facts.unexplained & case.past_grace,
    )
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.LOG,
        Reason.MINTED_NOT_IN_LOG,
        lambda case: case.facts.minted & case.log_speaks,
    )


def _rules() -> Iterator[Rule]:
    """All rules that look at one purchase, in the order of their precedence."""
    yield _rule(Verdict.FOREIGN, Basis.NONE, Reason.FOREIGN_PAYMENT, lambda case: case.facts.foreign)
    yield from _excess_rules()
    yield _rule(
        Verdict.IN_DOUBT,
        Basis.NONE,
        Reason.CORRECTION_IN_DOUBT,
        lambda case: case.facts.doubt & (case.facts.receipts == 0),
    )
    yield from _withdrawn_rules()
    yield from _unpaid_rules()
    yield from _certificate_rules()
    yield from _proof_rules()
    yield _rule(
        Verdict.AMBIGUOUS,
        Basis.NONE,
        Reason.NAME_UNREADABLE,
        lambda case: case.facts.name_unreadable & ~case.facts.decided[Decision.CREDITED],
    )
    yield from _decision_rules()
    yield from _contradiction_rules()


def _log_rules() -> Iterator[Rule]:
    """A log that is proved complete shows by purchase who lacks."""
    yield _rule(Verdict.LACKING, Basis.LOG, Reason.LOG_SHOWS_NONE, lambda case: case.log_speaks)
    yield _rule(Verdict.PENDING, Basis.NONE, Reason.LOG_BEHIND, lambda case: case.past_grace)
    yield _rule(Verdict.PENDING, Basis.NONE, Reason.WITHIN_GRACE, lambda case: ~case.past_grace)


RULES: Final = tuple(_rules())
LOG_RULES: Final = tuple(_log_rules())


def judge(purchases: pd.DataFrame, accounts: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Give each purchase its verdict, basis and reason, in the order of the table of purchases.

    The tables are described in `judging_frames`; one that is not as it must be raises InvalidEvidence.
    """
    case = Case(PurchaseFacts.read(purchases), evidence)
    holdings = Holdings.read(accounts, case.facts.account_names)
    findings = Findings(len(case.facts))
    _apply(RULES, case, findings)
    if evidence.log_proves_absence:
        _apply(LOG_RULES, case, findings)
    else:
        judge_by_balance(_balances(case, holdings, findings), findings)
    _list_what_is_dated_ahead(case, findings)
    _keep_back_what_stripe_may_withdraw(case, findings)
    _keep_back_what_another_may_have(case, findings)
    return findings.to_frame(purchases.index)


def _apply(rules: tuple[Rule, ...], case: Case, findings: Findings) -> None:
    for rule in rules:
        findings.give(rule.finding, rule.applies(case))


def _balances(case: Case, holdings: Holdings, findings: Findings) -> Balances:
    """Set the balances against all that may claim them.

    The payments API mints once for each certificate. One that a person called not credited holds nothing; a
    correction in doubt may hold one credit. A purchase whose namespace another one has now may
    have had the certificate before.
    """
    facts = case.facts
    given_away = facts.shares_namespace & (facts.issued_rows == 0)
    mints = np.maximum(np.maximum(facts.issued_rows, facts.voided), given_away) - case.proofs
    holds = ~findings.open & ~facts.foreign & ~findings.having(verdict=Verdict.LACKING)
    return Balances(
        facts=facts,
        holdings=holdings,
        evidence=case.evidence,
        proofs=case.proofs,
        waiting=findings.open,
        due_us=case.due_us,
        unproved=np.where(facts.doubt, 1, np.maximum(mints, 0) * holds),
        unclear=facts.doubt | findings.having(verdict=Verdict.PENDING),
    )


def _keep_back_what_stripe_may_withdraw(case: Case, findings: Findings) -> None:
    """Where Stripe was not read whole, a refund may be unseen: nothing is lacking yet."""
    rows = findings.having(verdict=Verdict.LACKING) & ~case.facts.stripe_whole
    findings.replace(Finding(Verdict.PENDING, Basis.NONE, Reason.STRIPE_NOT_WHOLE), rows)


def _list_what_is_dated_ahead(case: Case, findings: Findings) -> None:
    """What waits for a grace period that no clock can explain is before a person, and what waits for it."""
    ahead = findings.having(verdict=Verdict.PENDING, reason=Reason.WITHIN_GRACE) & case.dated_ahead
    waiting = findings.having(verdict=Verdict.PENDING, reason=Reason.SIBLING_WITHIN_GRACE)
    siblings = waiting & np.isin(case.facts.account, case.facts.account[ahead])
    findings.replace(Finding(Verdict.AMBIGUOUS, Basis.NONE, Reason.DATED_AHEAD), ahead)
    findings.replace(Finding(Verdict.AMBIGUOUS, Basis.BALANCE, Reason.WITHDRAWN_MAY_COVER), siblings)


def _keep_back_what_another_may_have(case: Case, findings: Findings) -> None:
    """Do not pay twice what was once called lacking by another's name.

    A balance names the purchases that lack by convention only. Where a line later proves that a corrected
    one had its credit, our correction was in truth another's; the oldest that seem to lack are for a person.
    They wait where that correction is in doubt.
    """
    surplus = Finding(Verdict.AMBIGUOUS, Basis.RECEIPT, Reason.SURPLUS_MAY_COVER)
    doubt = Finding(Verdict.PENDING, Basis.NONE, Reason.SIBLING_IN_DOUBT)
    ours = (case.facts.receipts > 0) | case.facts.corrected
    _keep_back(case, findings, surplus, np.where(ours, np.maximum(case.proofs - 1, 0), 0))
    _keep_back(case, findings, doubt, (case.facts.doubt & case.proved).astype(np.int64))


def _keep_back(case: Case, findings: Findings, finding: Finding, spare: Ints) -> None:
    """Give the oldest that lack another finding, as far as what others have to spare may reach."""
    facts = case.facts
    lacking = findings.having(verdict=Verdict.LACKING) & ~facts.decided[Decision.NOT_CREDITED]
    findings.replace(finding, reached_by(facts, _sums_by_account(facts, spare), lacking))


def _sums_by_account(facts: PurchaseFacts, counts: Ints) -> dict[int, int]:
    """Sum the entitlements, each so many times, of the accounts that have any."""
    rows = np.flatnonzero((counts > 0) & (facts.account >= 0))
    amounts = facts.entitlement.take(rows).times(counts[rows]).to_ints()
    sums: dict[int, int] = {}
    for account, amount in zip(facts.account[rows].tolist(), amounts, strict=True):
        sums[account] = sums.get(account, 0) + amount
    return sums
