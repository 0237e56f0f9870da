"""The way to the indexer: what happens to reads, and to each request for a credit and its answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import orjson

from ucred_pipeline.corrections.indexer import IndexerUnreachable, NeverLeft, NoReply, Reply, Sight
from ucred_pipeline.domain.corrections import Credit
from ucred_pipeline.domain.evidence import BalanceReading, Build
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer import Audit, BalancesRead, as_of
from ucred_pipeline_tests.simulation.outside import BUILD, Outside
from ucred_pipeline_tests.simulation.stage import Process

#: How long the real client waits for the answer to a credit.
CREDIT_TIMEOUT_S: Final = 120.0
#: The longest time for which a request that has left may still take effect, as the settings say.
QUIESCENCE_S: Final = 900.0
_PROOF: Final = Reply(400, b"Invalid amount: invalid digit found in string")
_BAD_TOKEN: Final = Reply(401, b"Invalid operator token")

#: It says that all is well, and what the account holds cannot be so.
_LIE: Final = Reply(200, b'{"success":true,"new_balance_wei":"0","state_root":"%s"}' % (b"0" * 64))
_BEFORE: Final = (
    Reply(502, b"<html>Bad Gateway</html>"),
    Reply(503, b"upstream connect error"),
    Reply(500, b"Internal Server Error"),
    Reply(429, b"slow down"),
    Reply(404, b""),
    Reply(400, b"Bad Request"),
    _LIE,
)
_AFTER: Final = (
    *_BEFORE,
    Reply(504, b"<html>Gateway Timeout</html>"),
    Reply(200, b""),
    Reply(200, b'{"success":true,"new_balance_wei":"1000'),
    Reply(200, b'{"success":false,"new_balance_wei":"0","state_root":""}'),
    Reply(200, b"<html>Please sign in</html>"),
    Reply(200, b'{"success":true,"new_balance_wei":1000000000000000000,"state_root":"x"}'),
    Reply(500, b"balance overflow, said a proxy"),
    Reply(302, b""),
)
_KNOWN_REFUSALS: Final = (
    Reply(500, b"balance overflow"),
    Reply(422, b"Failed to deserialize the JSON body into the target type: missing field"),
)


@dataclass(slots=True)
class Post:
    """One request for a credit that left."""

    credit: Credit
    at: float
    looked: float
    build: Build
    effect: float | None = None
    receipt: Reply | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of a request: when it takes effect, when an answer comes, and what it `says` instead."""

    effect_after: float | None
    answer_after: float | None
    says: Reply | None = None


class Network:
    """What lies between the pipeline's processes and the indexer; `posted` is called as a request leaves."""

    def __init__(self, outside: Outside, posted: Callable[[Post], None]) -> None:
        self.outside = outside
        self.stage = outside.stage
        self.fate = outside.fate
        self.rates = outside.profile
        self.posts: list[Post] = []
        self._posted = posted

    @property
    def process(self) -> Process:
        """Whose turn it is."""
        if self.stage.current is None:
            raise RuntimeError("the network is asked by nobody")
        return self.stage.current

    async def travel(self, what: str) -> None:
        """Go to the indexer and back, for a read."""
        self.process.must_live()
        if self.fate.strikes(f"crash_at_{what}", self.rates.crash):
            self.process.die()
        self.pause(f"pause_at_{what}")
        await asyncio.sleep(self.fate.between(0.001, 0.2))
        self.process.must_live()

    def pause(self, step: str) -> float:
        """Hold the whole process up, now and then: the seconds that it took."""
        if not self.fate.strikes(step, self.rates.pause):
            return 0
        seconds = self.fate.one_of((0.1, 5, 30, 200))
        self.process.sleep(seconds)
        return seconds

    def leaves(self, post: Post) -> None:
        """Note that a request is on its way."""
        self.posts.append(post)
        self._posted(post)


@dataclass(frozen=True, slots=True)
class SimulatedDoor:
    """Opens connections for a sender."""

    network: Network

    @asynccontextmanager
    async def open(self) -> AsyncIterator["SimulatedConnection"]:
        """Open one connection."""
        await self.network.travel("open")
        yield SimulatedConnection(self.network)


class SimulatedConnection:
    """One connection of a sender."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._looked = network.stage.now
        self._build = BUILD

    async def look(self) -> Sight:
        """Read health and audit."""
        began = self._network.process.clock.now()
        await self._read("look")
        outside = self._network.outside
        self._build = outside.build
        return Sight(outside.build, outside.root, began, outside.stage.moment.replace(microsecond=0))

    async def balance(self, account: str) -> int:
        """Read a balance."""
        await self._read("balance")
        self._looked = self._network.stage.now
        return self._network.outside.balances.get(account, 0)

    async def probe_token(self) -> Reply:
        """Prove the token."""
        await self._read("probe")
        return _BAD_TOKEN if self._strikes("wrong_token", 0.2) else _PROOF

    async def credit(self, credit: Credit, idempotency_key: str) -> Reply:
        """Send a credit into what this schedule has for it."""
        assert idempotency_key
        network = self._network
        network.process.must_live()
        if self._strikes("never_left"):
            raise NeverLeft("ConnectError")
        if network.fate.strikes("crash_before_post", network.rates.crash):
            network.process.die()
        held_up = network.pause("pause_before_post")
        post = Post(credit, network.stage.now, self._looked, self._build)
        network.leaves(post)
        way = self._way(QUIESCENCE_S - held_up)
        if way.effect_after is not None:
            network.stage.after(way.effect_after, lambda: self._apply(post))
        if network.fate.strikes("crash_after_post", network.rates.crash_posting):
            network.process.die()
        if way.answer_after is None or way.answer_after > CREDIT_TIMEOUT_S:
            await asyncio.sleep(network.fate.one_of((0.5, CREDIT_TIMEOUT_S)))
            network.process.must_live()
            raise NoReply("ReadTimeout")
        await asyncio.sleep(way.answer_after)
        network.process.must_live()
        if way.says is None and post.receipt is None:
            raise NoReply("ReadError")
        return way.says or post.receipt or _PROOF

    def _way(self, longest: float) -> Way:
        """Draw whether it takes effect, when, and what comes back, whether or not the sender lives."""
        fate = self._network.fate
        rate, slow = self._network.rates.request, self._network.rates.slow
        soon, late = fate.between(0.001, 0.4), fate.between(1, longest)
        refused = None if self._network.outside.build == BUILD else soon / 2
        ways = (
            ("request_lost", rate, Way(None, None)),
            ("error_before", rate, Way(None, soon, fate.one_of(_BEFORE))),
            ("refused", rate / 10, Way(refused, soon, fate.one_of(_KNOWN_REFUSALS))),
            ("slow", slow, Way(late, late + soon)),
            ("reply_lost", rate, Way(soon / 2, None)),
            ("error_then_effect", slow, Way(late, soon, fate.one_of(_AFTER))),
            ("error_after", rate, Way(soon / 2, soon, fate.one_of(_AFTER))),
        )
        drawn = (way for fault, chance, way in ways if fate.strikes(fault, chance))
        return next(drawn, Way(soon / 2, soon))

    def _apply(self, post: Post) -> None:
        credit, outside = post.credit, self._network.outside
        post.effect = outside.stage.now
        balance = outside.credit(credit.account, credit.amount, credit.memo)
        told = {"success": True, "new_balance_wei": str(balance), "state_root": outside.root}
        post.receipt = Reply(200, orjson.dumps(told))

    async def _read(self, what: str) -> None:
        await self._network.travel(what)
        if self._network.fate.strikes("read_failed", self._network.rates.read):
            raise IndexerUnreachable(f"the indexer's {what}: ConnectError")

    def _strikes(self, fault: str, share: float = 1.0) -> bool:
        return self._network.fate.strikes(fault, min(self._network.rates.request * share, 0.5))


class SimulatedSource:
    """The indexer as the pipeline's bulk reads meet it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def __aenter__(self) -> Self:
        await self._network.travel("source")
        if self._network.fate.strikes("source_down", self._network.rates.read):
            raise SourceUnreadable("indexer", "Connection refused", "Start the indexer.")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def health(self) -> Build:
        """Read the build."""
        return self._network.outside.build

    async def audit(self) -> Audit:
        """Read the root."""
        began = self._network.process.clock.now()
        await self._network.travel("audit")
        outside = self._network.outside
        date = outside.stage.moment.replace(microsecond=0)
        return Audit(outside.root, 0, as_of(began, date), date)

    async def balances(self, accounts: Sequence[str], progress: Callable[[int], None]) -> BalancesRead:
        """Read balances between two reads of the root."""
        before = await self.audit()
        seen = []
        for account in accounts:
            began = self._network.process.clock.now()
            await self._network.travel("balances")
            date = self._network.stage.moment.replace(microsecond=0)
            seen.append((account, self._network.outside.balances.get(account, 0), as_of(began, date)))
        progress(len(seen))
        after = await self.audit()
        root = before.state_root if before.state_root == after.state_root else None
        return BalancesRead([BalanceReading(*found, root) for found in seen], before, after)
