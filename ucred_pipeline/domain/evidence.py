"""Evidence of credits from outside: balances read, and lines of the two services' logs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Build:
    """Which program answers as the indexer, as `GET /health` says."""

    service: str
    version: str

    def __str__(self) -> str:
        return f"{self.service} {self.version}"


@dataclass(frozen=True, slots=True)
class BalanceReading:
    """One account's UCRED balance in wei; `began` is when the read began.

    `root` is the state root at which the balance is known to hold: present when the root was the
    same before and after the read.
    """

    account: str
    wei: int
    began: datetime
    root: str | None


@dataclass(frozen=True, slots=True)
class CreditLine:
    """One credit as the indexer's log tells it; `raw` is the line without colour codes.

    Account and memo are free text, so a line may have several readings. This is the likeliest;
    `alternatives` are the others, and a replay prefers the one whose root fits.
    """

    at: datetime
    asset: str
    account: str
    amount_wei: int
    memo: str
    new_balance_wei: int
    state_root: str
    raw: str
    alternatives: tuple["CreditLine", ...] = ()


class MintOutcome(StrEnum):
    """What the payments API's log says of one of its own tries to mint."""

    MINTED = "minted"
    REFUSED = "refused"  # an HTTP status came back: this try had no effect
    UNKNOWN = "unknown"  # the request failed: it may or may not have had an effect


@dataclass(frozen=True, slots=True)
class MintLine:
    """One line of the payments API's log; failures name the account at most, never the namespace."""

    at: datetime
    outcome: MintOutcome
    account: str | None
    namespace: str | None
    raw: str
