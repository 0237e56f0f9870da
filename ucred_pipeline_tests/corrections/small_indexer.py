"""An indexer in memory, as a sender meets it, with the faults that a test asks for."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from hashlib import sha256
from typing import Final

import orjson

from ucred_pipeline.corrections.indexer import (
    IndexerConnection,
    IndexerUnreachable,
    NeverLeft,
    NoReply,
    Reply,
    Sight,
)
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.corrections import Attempt, Credit
from ucred_pipeline.domain.evidence import Build

REVIEWED: Final = Build("rust-l1-indexer", "0.1.0")
VALID_TOKEN: Final = Reply(400, b"Invalid amount: invalid digit found in string")
INVALID_TOKEN: Final = Reply(401, b"Invalid operator token")


class Killed(BaseException):
    """The process ends here, as with SIGKILL: nobody catches it."""


class Fault(Enum):
    """What may happen to one request for a credit."""

    NEVER_LEFT = auto()
    LOST_REQUEST = auto()
    LOST_REPLY = auto()
    TRUNCATED = auto()
    PROXY_PAGE_BEFORE = auto()
    PROXY_PAGE_AFTER = auto()
    ERROR_BEFORE = auto()
    ERROR_AFTER = auto()
    OVERFLOW = auto()
    TOO_MANY = auto()
    WRONG_TOKEN = auto()
    BAD_REQUEST = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


#: What comes back for a fault, and whether the credit takes effect.
_OUTCOMES: Final[dict[Fault, tuple[Reply | type[BaseException], bool]]] = {
    Fault.NEVER_LEFT: (NeverLeft, False),
    Fault.LOST_REQUEST: (NoReply, False),
    Fault.LOST_REPLY: (NoReply, True),
    Fault.TRUNCATED: (Reply(200, b'{"success":true,"new_balance_wei":"10'), True),
    Fault.PROXY_PAGE_BEFORE: (Reply(502, b"<html>Bad Gateway</html>"), False),
    Fault.PROXY_PAGE_AFTER: (Reply(504, b"<html>Gateway Timeout</html>"), True),
    Fault.ERROR_BEFORE: (Reply(500, b"Internal Server Error"), False),
    Fault.ERROR_AFTER: (Reply(500, b"Internal Server Error"), True),
    Fault.OVERFLOW: (Reply(500, b"balance overflow"), False),
    Fault.TOO_MANY: (Reply(429, b"slow down"), False),
    Fault.WRONG_TOKEN: (INVALID_TOKEN, False),
    Fault.BAD_REQUEST: (Reply(422, b"Failed to deserialize the JSON body into the target type: x"), False),
    Fault.KILLED_BEFORE: (Killed, False),
    Fault.KILLED_AFTER: (Killed, True),
}


@dataclass
class SmallIndexer:
    """Balances in memory; it counts what was posted, and what took effect.

    `faults` are taken by account, one for each request; `steps` are called as each step begins,
    so that a test can look, change the world or end the process there; `slow` accounts take their time.
    """

    clock: Clock
    balances: dict[str, int] = field(default_factory=dict)
    build: Build = REVIEWED
    skew: timedelta = timedelta(0)
    tells_the_time: bool = True
    probe: Reply = VALID_TOKEN
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    slow: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    steps: dict[str, Callable[[], None]] = field(default_factory=dict)
    on_post: Callable[[Attempt], None] | None = None
    posted: list[Attempt] = field(default_factory=list)
    anchored: list[Credit] = field(default_factory=list)
    anchor_faults: list[Fault] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)
    most_under_way: int = 0
    opened: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[IndexerConnection]:
        """Open a connection."""
        self.opened += 1
        self.step("open")
        yield SmallConnection(self)

    @property
    def root(self) -> str:
        """A name for the whole state."""
        return sha256(repr(sorted(self.balances.items())).encode()).hexdigest()

    def step(self, name: str) -> None:
        """Begin a step: it may be told of, end the process, or find the indexer gone."""
        self.steps.get(name, _nothing)()
        if name in self.unreachable:
            raise IndexerUnreachable(f"the indexer's {name}: ConnectError")

    def credit(self, credit: Credit) -> Reply:
        """Let a credit take effect."""
        self.balances[credit.account] = self.balances.get(credit.account, 0) + credit.amount
        self.applied.append(credit.account)
        told = {
            "success": True,
            "new_balance_wei": str(self.balances[credit.account]),
            "state_root": self.root,
        }
        return Reply(200, orjson.dumps(told))

    def forget(self) -> None:
        """Restart: everything is gone."""
        self.balances.clear()


def _nothing() -> None:
    """Let a step pass."""


@dataclass
class SmallConnection:
    """One connection to the small indexer."""

    indexer: SmallIndexer

    async def look(self) -> Sight:
        """Read health and audit."""
        self.indexer.step("look")
        now: datetime = self.indexer.clock.now()
        date = now.replace(microsecond=0) + self.indexer.skew if self.indexer.tells_the_time else None
        return Sight(self.indexer.build, self.indexer.root, now, date)

    async def balance(self, account: str) -> int:
        """Read an account's balance."""
        self.indexer.step("balance")
        if account in self.indexer.slow:
            await a_while(50)
        return self.indexer.balances.get(account, 0)

    async def probe_token(self) -> Reply:
        """Answer the probe of the token."""
        self.indexer.step("probe")
        return self.indexer.probe

    async def credit(self, credit: Credit, idempotency_key: str) -> Reply:
        """Take one request for a credit."""
        indexer = self.indexer
        assert credit.account not in indexer.under_way, "two requests of one account at once"
        indexer.under_way.add(credit.account)
        indexer.most_under_way = max(indexer.most_under_way, len(indexer.under_way))
        if isinstance(credit, Attempt):
            indexer.posted.append(credit)
        else:
            indexer.anchored.append(credit)
        indexer.keys.append(idempotency_key)
        try:
            if indexer.on_post is not None and isinstance(credit, Attempt):
                indexer.on_post(credit)
            indexer.step("credit")
            await a_while()
            return self._outcome(credit)
        finally:
            indexer.under_way.discard(credit.account)

    def _outcome(self, credit: Credit) -> Reply:
        is_anchor = not isinstance(credit, Attempt)
        faults = self.indexer.anchor_faults if is_anchor else self.indexer.faults[credit.account]
        if not faults:
            return self.indexer.credit(credit)
        outcome, takes_effect = _OUTCOMES[faults.pop(0)]
        if takes_effect:
            self.indexer.credit(credit)
        if isinstance(outcome, Reply):
            return outcome
        raise outcome


async def a_while(turns: int = 3) -> None:
    """Let the other accounts come to the same point."""
    for _ in range(turns):
        await asyncio.sleep(0)
