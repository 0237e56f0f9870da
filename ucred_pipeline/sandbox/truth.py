"""What the sandbox knows to be true, for tests to compare with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ucred_pipeline.domain.accounts import account_of
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox.purchase import Purchase
from ucred_pipeline.sandbox.spec import GRACE


class Verdict(StrEnum):
    """What a right pipeline concludes."""

    CREDITED = "credited"
    LACKING = "lacking"
    PENDING = "pending"
    AMBIGUOUS = "ambiguous"
    WITHDRAWN = "withdrawn"
    UNISSUED = "unissued"
    UNPAID = "unpaid"
    OVER_CREDITED = "over_credited"
    FOREIGN = "foreign"


#: Verdicts that need neither a log nor a balance.
_PLAIN = frozenset({Verdict.WITHDRAWN, Verdict.UNISSUED, Verdict.UNPAID, Verdict.FOREIGN, None})


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseTruth:
    """The truth of one PaymentIntent, before anything that came over HTTP.

    A verdict is None where nothing is to be concluded: an abandoned payment, or, without logs, one
    purchase of several whose account lacks some.
    """

    payment_intent: str
    case: str
    account: str
    namespace: str | None
    verdict_with_logs: Verdict | None
    verdict_without_logs: Verdict | None
    owed_wei: int
    credited_wei: int
    should_be_credited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTruth:
    """The truth of one account; `lacking_wei` is what balances alone prove to be lacking."""

    account: str
    purchases: int
    balance_wei: int
    lacking_wei: int


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of the whole world at one moment."""

    purchases: Mapping[str, PurchaseTruth]
    accounts: Mapping[str, AccountTruth]

    @property
    def to_credit(self) -> Mapping[str, PurchaseTruth]:
        """The purchases that a right pipeline credits when it has the logs."""
        return {key: truth for key, truth in self.purchases.items() if truth.should_be_credited}

    def of_case(self, case: str) -> tuple[PurchaseTruth, ...]:
        """All purchases that a case is made of."""
        return tuple(truth for truth in self.purchases.values() if truth.case == case)

    def document(self) -> dict[str, Any]:
        """The same as plain JSON; amounts are text, because they do not fit 64 bits."""
        return {
            "purchases": [_plain(truth) for truth in self.purchases.values()],
            "accounts": [_plain(truth) for truth in self.accounts.values()],
        }


def _plain(truth: PurchaseTruth | AccountTruth) -> dict[str, Any]:
    row = {name: getattr(truth, name) for name in truth.__slots__}
    return {name: str(value) if name.endswith("_wei") else value for name, value in row.items()}


def verdict_with_logs(purchase: Purchase, now: datetime) -> Verdict | None:
    """Conclude by purchase, from complete logs."""
    if purchase.foreign:
        return Verdict.FOREIGN
    if purchase.paid is None:
        return None if purchase.issued is None else _unless_young(Verdict.UNPAID, purchase.issued, now)
    if purchase.withdrawn:
        return Verdict.WITHDRAWN
    if purchase.issued is None:
        return _unless_young(Verdict.UNISSUED, purchase.paid, now)
    return _verdict_of_issued(purchase, purchase.issued, now)


def _verdict_of_issued(purchase: Purchase, issued: datetime, now: datetime) -> Verdict:
    if purchase.tangled:
        return Verdict.AMBIGUOUS
    if purchase.credits:
        return Verdict.CREDITED if purchase.credits == 1 else Verdict.OVER_CREDITED
    return _unless_young(Verdict.LACKING, issued, now)


def _unless_young(verdict: Verdict, since: datetime, now: datetime) -> Verdict:
    return Verdict.PENDING if now - since < GRACE else verdict


@dataclass(frozen=True, slots=True)
class _Account:
    """An account's purchases as balances alone show them."""

    owed: int
    young: int
    doubtful: int
    balance: int

    @property
    def owed_wei(self) -> int:
        return self.owed * WEI_PER_UCRED

    @property
    def lacking_wei(self) -> int:
        """A credit that is short by a part is a whole one short."""
        covered = min(self.balance, self.owed_wei) // WEI_PER_UCRED
        return (self.owed - covered) * WEI_PER_UCRED

    def verdict(self, known: Verdict) -> Verdict | None:
        """Conclude about a purchase that is neither withdrawn nor foreign."""
        if known is Verdict.PENDING:
            return known if self.balance < WEI_PER_UCRED else None
        if self.balance < WEI_PER_UCRED:
            return Verdict.LACKING
        if self.lacking_wei:
            return None
        # What was credited for a withdrawn purchase may be what covers this one.
        sure = self.balance >= (self.owed + self.doubtful) * WEI_PER_UCRED
        return Verdict.CREDITED if sure else Verdict.AMBIGUOUS


def _account(purchases: Iterable[Purchase], verdicts: Mapping[str, Verdict | None], balance: int) -> _Account:
    owed = young = doubtful = 0
    for purchase in purchases:
        verdict = verdicts[purchase.payment_intent]
        if purchase.twice_issued or verdict in {Verdict.WITHDRAWN, Verdict.UNPAID}:
            doubtful += 1
        elif verdict is Verdict.PENDING:
            young += 1
        elif verdict not in _PLAIN:
            owed += 1
    return _Account(owed, young, doubtful, balance)


def _without_logs(purchase: Purchase, known: Verdict | None, account: _Account) -> Verdict | None:
    if known is None or known in _PLAIN:
        return known
    return Verdict.AMBIGUOUS if purchase.twice_issued else account.verdict(known)


def tell_truth(purchases: Iterable[Purchase], balances: Mapping[str, int], now: datetime) -> Truth:
    """Conclude about every purchase; `balances` are what others than the pipeline have credited."""
    by_account: dict[str, list[Purchase]] = defaultdict(list)
    verdicts: dict[str, Verdict | None] = {}
    for purchase in purchases:
        by_account[account_of(purchase.email)].append(purchase)
        verdicts[purchase.payment_intent] = verdict_with_logs(purchase, now)
    told: dict[str, PurchaseTruth] = {}
    accounts: dict[str, AccountTruth] = {}
    for name, rows in by_account.items():
        account = _account(rows, verdicts, balances.get(name, 0))
        accounts[name] = AccountTruth(
            account=name, purchases=len(rows), balance_wei=account.balance, lacking_wei=account.lacking_wei
        )
        for row in rows:
            known = verdicts[row.payment_intent]
            told[row.payment_intent] = PurchaseTruth(
                payment_intent=row.payment_intent,
                case=row.case,
                account=name,
                namespace=row.namespace,
                verdict_with_logs=known,
                verdict_without_logs=_without_logs(row, known, account),
                owed_wei=_owed(known),
                credited_wei=row.credits * WEI_PER_UCRED,
                should_be_credited=known is Verdict.LACKING,
            )
    return Truth(told, accounts)


def _owed(verdict: Verdict | None) -> int:
    return 0 if verdict in _PLAIN else WEI_PER_UCRED
