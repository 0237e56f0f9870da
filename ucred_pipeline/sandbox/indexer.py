"""The Rust L1 indexer: balances in memory, one write lock, and a line of log for each credit."""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.money import MAX_WEI
from ucred_pipeline.domain.state_root import GENESIS
from ucred_pipeline.sandbox.commitment import Commitment
from ucred_pipeline.sandbox.tracing_log import TracingLog

INSECURE_TOKEN: Final = "INSECURE_DEV_TOKEN"  # noqa: S105 - what the indexer itself falls back to


class CreditRefused(Exception):
    """The state machine does not accept a credit."""


@dataclass(frozen=True, slots=True)
class Credit:
    """A credit that took effect; `source` is genesis, history, or http."""

    account: str
    amount_wei: int
    memo: str
    at: datetime
    source: str
    asset: str = "UCRED"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the indexer knows after a credit; no root where none was asked for."""

    new_balance_wei: int
    state_root: str


class Indexer:
    """The state machine. A restart forgets everything but the log file."""

    def __init__(self, clock: Clock, log: TracingLog, token: str | None, started: datetime) -> None:
        self._clock = clock
        self.log = log
        self.token = token
        self.credits: list[Credit] = []
        self.panicked = False
        self._lock = threading.RLock()
        self._begin(started)

    def _begin(self, at: datetime) -> None:
        self._balances: dict[str, dict[str, int]] = {}
        self._commitment = Commitment()
        for (asset, account), wei in GENESIS.items():
            self._put(asset, account, wei)
            self.credits.append(Credit(account, wei, "genesis", at, "genesis", asset))
        self.log.write(at, "INFO", "Starting Rust L1 Indexer v0.1.0")
        self.log.write(at, "INFO", f"Genesis state loaded: state_root={self.root()}")

    def _put(self, asset: str, account: str, wei: int) -> None:
        self._balances.setdefault(account, {})[asset] = wei
        self._commitment.put(asset, account, wei)

    def restart(self) -> None:
        """Begin again from genesis."""
        with self._lock:
            self.panicked = False
            self._begin(self._clock.now())

    def accepts(self, token: str) -> bool:
        """Whether a token is the operator's."""
        return token == (self.token or INSECURE_TOKEN)

    def refuse_token(self, at: datetime) -> None:
        """Note a credit with a wrong token."""
        with self._lock:
            self.log.write(at, "WARN", "Admin credit rejected: invalid token")

    def credit(self, asset: str, account: str, amount_wei: int, memo: str) -> Receipt:
        """Credit as `POST /admin/credit` does: effect, balance, root and line under one lock."""
        with self._lock:
            now = self._clock.now()
            balance = self._apply(Credit(account, amount_wei, memo, now, "http", asset))
            return Receipt(balance, self.root())

    def replay(self, credit: Credit) -> None:
        """Let a credit of the past, or of somebody else, take effect; the caller flushes the log."""
        with self._lock:
            self._apply(credit, flush=False)

    def _apply(self, credit: Credit, *, flush: bool = True) -> int:
        asset = credit.asset.upper()
        if credit.amount_wei <= 0:
            raise CreditRefused("credit amount must be > 0")
        balance = self._balances.get(credit.account, {}).get(asset, 0) + credit.amount_wei
        if balance > MAX_WEI:
            raise CreditRefused("balance overflow")
        self._put(asset, credit.account, balance)
        self.credits.append(credit)
        if self.log.kept:
            self._note(credit, asset, balance, flush=flush)
        return balance

    def _note(self, credit: Credit, asset: str, balance: int, *, flush: bool) -> None:
        line = (
            f"Admin credit: asset={asset} account={credit.account} amount_wei={credit.amount_wei} "
            f"memo={credit.memo} new_balance_wei={balance} state_root={self.root()}"
        )
        self.log.write(credit.at, "INFO", line, flush=flush)

    def debit(self, account: str, wei: int, asset: str = "UCRED") -> None:
        """Take from an account, as the state machine can and no route does."""
        with self._lock:
            self._put(asset, account, self.balance(account, asset) - wei)

    def balance(self, account: str, asset: str = "UCRED") -> int:
        """One balance in wei; 0 for an account never seen."""
        return self._balances.get(account, {}).get(asset, 0)

    def balances(self, account: str) -> dict[str, int]:
        """All that an account has held, by asset; empty for one never seen."""
        return self._balances.get(account, {})

    def root(self) -> str:
        """The state root, as `GET /audit` gives it."""
        with self._lock:
            return self._commitment.root()
