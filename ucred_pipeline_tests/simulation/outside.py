"""The outside world of a schedule: the indexer, who else writes to it, its log, and the purchases."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.evidence import Build, CreditLine
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.domain.memos import read_memo
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.domain.state_root import GENESIS, UCRED, state_root
from ucred_pipeline_tests.simulation.fate import Fate
from ucred_pipeline_tests.simulation.profiles import Profile
from ucred_pipeline_tests.simulation.stage import Stage

BUILD: Final = Build("rust-l1-indexer", "0.1.0")
#: Nobody reviewed it: what this one refuses may have taken effect.
_NEXT_BUILD: Final = Build("rust-l1-indexer", "0.2.0")
_LINE_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a customer bought; `number` names it.

    `paid_as` is the account of the address that paid; `had` has it, and those that the pipeline has read.
    """

    number: int
    account: str
    created: datetime
    paid_as: str
    had: frozenset[str]
    refunded: bool = False

    @property
    def payment_intent(self) -> str:
        """Stripe's name of it."""
        return f"pi_{self.number}"

    @property
    def namespace(self) -> str:
        """People's name of it."""
        return f"{self.number}.x"

    def payment(self) -> Payment:
        """Give the payment as Stripe tells it."""
        refunded = 100 if self.refunded else 0
        return Payment(
            self.payment_intent, self.created, "succeeded", "usd", 100, refunded, Dispute.NONE,
            self.created, _email(self.paid_as), {"namespace": self.namespace},
        )  # fmt: skip

    def record(self) -> PaymentRecord:
        """Give the payments API's record of the payment."""
        email = _email(self.account)
        return PaymentRecord(self.payment_intent, email, self.namespace, None, "succeeded", self.created)

    def issuance(self) -> Issuance:
        """Give the certificate."""
        email = _email(self.account)
        name = f"iss_{self.number}"
        return Issuance(name, self.payment_intent, self.namespace, email, None, "issued", self.created, None)


def _bought(number: int, account: str, created: datetime) -> Purchase:
    return Purchase(number, account, created, account, frozenset({account}))


def _email(account: str) -> str:
    return account.removeprefix("acct:user:")


@dataclass(frozen=True, slots=True)
class Credit:
    """One credit that took effect, as the truth knows it."""

    at: float
    account: str
    amount: int
    memo: str
    namespace: str | None
    ours: bool


@dataclass(slots=True)
class _Line:
    """A line of the indexer's log, and from when on it can be read."""

    line: CreditLine
    visible: float


class Outside:
    """Everything that is not the pipeline; `told` is called for each credit that took effect."""

    def __init__(self, stage: Stage, fate: Fate, profile: Profile) -> None:
        self.stage = stage
        self.fate = fate
        self.profile = profile
        self.purchases: dict[int, Purchase] = {}
        self.balances: dict[str, int] = {}
        self.life = 0
        self.build = BUILD
        self.restarted: float | None = None
        self.credits: list[Credit] = []
        self.told: list[Callable[[Credit], None]] = []
        self._lines: list[_Line] = []
        self._root: str | None = None
        self.given_others: dict[int, str] = {}

    # The indexer

    @property
    def root(self) -> str:
        """The state root, as `/audit` gives it."""
        if self._root is None:
            held = {(UCRED, account): wei for account, wei in self.balances.items()}
            self._root = state_root({**GENESIS, **held})
        return self._root

    def credit(self, account: str, amount: int, memo: str) -> int:
        """Let a credit take effect; give the new balance."""
        balance = self.balances.get(account, 0) + amount
        self._set(account, balance)
        named = read_memo(memo)
        told = Credit(
            self.stage.now, account, amount, memo,
            named.namespace if named else None, bool(named and named.correction),
        )  # fmt: skip
        self._log(told, balance)
        self.credits.append(told)
        for listener in self.told:
            listener(told)
        return balance

    def upgrade(self) -> None:
        """Run another build from now on."""
        self.build = _NEXT_BUILD

    def restart(self) -> None:
        """Lose the whole state: the log goes on, the balances are those of genesis."""
        self.life += 1
        self.restarted = self.stage.now
        self.balances.clear()
        self.credits.clear()
        self.given_others.clear()
        self._root = None

    def spend(self, account: str, wei: int) -> None:
        """Take from an account, which no log tells."""
        self._set(account, max(self.balances.get(account, 0) - wei, 0))

    def credits_of(self, purchase: Purchase) -> list[Credit]:
        """Find the credits of this life that name a purchase."""
        return [found for found in self.credits if found.namespace == purchase.namespace]

    def may_have_its_credit(self, purchase: Purchase) -> bool:
        """Whether one names it, or one that is too many for another purchase may be its own.

        A balance tells by convention only which purchase lacks: another's correction may be its credit. Each
        of these is given once.
        """
        if self.credits_of(purchase) or purchase.number in self.given_others:
            return True
        if self.profile.tells_by_purchase:
            return False
        named = [(found.account, found.namespace) for found in self.credits if found.namespace is not None]
        spare = Counter(account for account, _ in named) - Counter(account for account, _ in set(named))
        spare -= Counter(self.given_others.values())
        found = next((account for account in sorted(purchase.had) if spare[account]), None)
        if found is not None:
            self.given_others[purchase.number] = found
        return found is not None

    def owed_by(self, purchase: Purchase) -> frozenset[str]:
        """The accounts that must hold its credit: one that has it, or all that it is known to have had.

        Where a log names what it credits, so may one that no run had read as its own when it was credited.
        """
        holding = frozenset(found.account for found in self.credits_of(purchase))
        known = holding & purchase.had or purchase.had
        return known | holding if self.profile.logs else known

    def readable_log(self) -> list[CreditLine]:
        """Give the lines that can be read now, in the order of the log."""
        return [found.line for found in self._lines if found.visible <= self.stage.now]

    def cut_log(self) -> None:
        """Lose the older half of the log, as a rotation without a copy does."""
        del self._lines[: len(self._lines) // 2]

    def _set(self, account: str, wei: int) -> None:
        self.balances[account] = wei
        self._root = None

    def _log(self, told: Credit, balance: int) -> None:
        visible = self.stage.now
        if self.fate.strikes("line_lost", self.profile.line_lost):
            visible = _LINE_NEVER
        elif self.fate.strikes("line_late", self.profile.line_late):
            visible += self.fate.between(1, 1500)
        at = self.stage.moment.replace(microsecond=self.stage.moment.microsecond // 1000 * 1000)
        raw = f"{len(self._lines)} {self.life} {at} {told.account} {told.memo} {self.root}"
        line = CreditLine(at, UCRED, told.account, told.amount, told.memo, balance, self.root, raw)
        self._lines.append(_Line(line, visible))

    # The customers, the payments API and support

    def buy(self, number: int, account: str, age_s: float) -> None:
        """Let a customer have bought something `age_s` ago; the payments API mints in its own way."""
        created = self.stage.moment - timedelta(seconds=age_s)
        self.purchases[number] = bought = _bought(number, account, created)
        drawn = self.fate.between(0, 1)
        if age_s >= _OLD_S:
            if drawn < 0.25:
                self._mint(bought)
        elif drawn < 0.2:
            self._mint(bought)
        elif self.fate.strikes("late_mint", self.profile.late_mint):
            self.stage.after(self.fate.between(0, 900), lambda: self._mint(bought))

    def buy_long_ago(self, number: int, account: str) -> None:
        """Let a customer have bought something that was credited long ago."""
        created = self.stage.moment - timedelta(days=9)
        self.purchases[number] = _bought(number, account, created)
        self._mint(self.purchases[number])

    def _mint(self, bought: Purchase) -> None:
        self.credit(bought.account, WEI_PER_UCRED, f"purchase:{bought.namespace}")

    def support_credits(self, bought: Purchase) -> None:
        """Credit a purchase by hand, as support does it without the pipeline."""
        self.credit(bought.account, WEI_PER_UCRED, f"manual_credit:{bought.namespace}")

    def top_up(self) -> None:
        """Let somebody be given UCRED that no purchase earns."""
        account = self.fate.one_of(sorted({found.account for found in self.purchases.values()}))
        self.credit(account, self.fate.one_of(_TOP_UPS), f"topup:{self.stage.now:.3f}")

    def refund(self) -> None:
        """Give one customer the money back."""
        number = self.fate.one_of(sorted(self.purchases))
        self.purchases[number] = replace(self.purchases[number], refunded=True)

    def move(self, account: str) -> None:
        """Let a purchase have another address in the payments database from now on."""
        number = self.fate.one_of(sorted(self.purchases))
        moved = self.purchases[number]
        self.purchases[number] = replace(moved, account=account)

    def note_accounts(self, read: list[Purchase]) -> None:
        """The pipeline has read which account each purchase had."""
        for found in read:
            now = self.purchases[found.number]
            self.purchases[found.number] = replace(now, had=now.had | {found.account})

    def accounts_of_one(self, account: str) -> set[str]:
        """Give the accounts between which purchases have moved, as from this one: their owners are as one."""
        found = {account}
        for _ in self.purchases:
            found.update(*(bought.had for bought in self.purchases.values() if bought.had & found))
        return found


_OLD_S: Final = 7200
#: Never exactly what one purchase earns, nor that bit by bit: see the assumptions in docs/safety.md.
_TOP_UPS: Final = (2 * WEI_PER_UCRED // 5, 3 * WEI_PER_UCRED, 5 * WEI_PER_UCRED + 1)
