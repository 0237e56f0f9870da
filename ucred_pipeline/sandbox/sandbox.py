"""The sandbox: the world, its servers, its faults, and its settings."""

import random
import tempfile
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from ucred_pipeline.domain.clock import Clock, SystemClock
from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.sandbox.faults import Faults
from ucred_pipeline.sandbox.indexer import Credit
from ucred_pipeline.sandbox.indexer_server import IndexerServer
from ucred_pipeline.sandbox.serving import Server, ServerThread
from ucred_pipeline.sandbox.spec import SandboxSpec
from ucred_pipeline.sandbox.stripe_server import StripeServer
from ucred_pipeline.sandbox.truth import Truth
from ucred_pipeline.sandbox.world import DATABASE, INDEXER_LOG, PAYMENTS_LOG, World

TRUTH: Final = "truth.json"
_NOW: Final = timedelta(0)


class Sandbox:
    """A whole outside world on loopback. Its methods may be called from any thread."""

    def __init__(
        self,
        spec: SandboxSpec | None = None,
        *,
        folder: Path | str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.spec = spec or SandboxSpec()
        self._folder = None if folder is None else Path(folder)
        self._clock = clock or SystemClock()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._world: World | None = None
        self._servers: dict[str, Server] = {}
        self._thread = ServerThread()
        self.faults = Faults(self.spec.seed, self._listen_as_faults_say)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Make the history, and serve."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="ucred sandbox ")
            self._folder = Path(self._temporary.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder = self._folder.resolve()
        self._world = World(self.spec, self._folder, self._clock)
        truth = self._world.truth()
        self._write_truth(truth)
        self._lose_answers(truth)
        stripe = StripeServer(self._world.stripe, self._clock, self.faults, self.spec.key)
        indexer = IndexerServer(self._world.indexer, self._clock, self.faults)
        self._servers = {
            "stripe-refuse": Server(stripe.handle, self.spec.stripe_port),
            "indexer-refuse": Server(indexer.handle, self.spec.indexer_port),
        }
        self._thread.start()
        for server in self._servers.values():
            self._thread.do(server.listen())
        self._listen_as_faults_say()

    def close(self) -> None:
        """Stop serving; a folder that was named stays."""
        if self._world is None:
            return
        for server in self._servers.values():
            self._thread.do(server.refuse())
        self._thread.stop()
        self._world.close()
        self._world = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def _listen_as_faults_say(self) -> None:
        if self._world is None:
            return
        for fault, server in self._servers.items():
            refused = bool(self.faults.values(fault))
            self._thread.do(server.refuse() if refused else server.listen())

    def _lose_answers(self, truth: Truth) -> None:
        owed = {purchase.account for purchase in truth.to_credit.values()}
        chosen = random.Random(self.spec.seed).sample(sorted(owed), min(len(owed), self.spec.answers_to_lose))
        for account in chosen:
            self.faults.set("indexer-drop-after", account=account, times=1)

    @property
    def world(self) -> World:
        """The world behind the servers."""
        if self._world is None:
            raise RuntimeError("the sandbox is not running")
        return self._world

    @property
    def folder(self) -> Path:
        """Where the database, the logs, and the truth are."""
        if self._folder is None:
            raise RuntimeError("the sandbox is not running")
        return self._folder

    @property
    def stripe_base(self) -> str:
        """The base address of Stripe's API."""
        return self._servers["stripe-refuse"].base

    @property
    def indexer_base(self) -> str:
        """The base address of the indexer."""
        return self._servers["indexer-refuse"].base

    def environment(self) -> dict[str, str]:
        """The settings with which the pipeline finds this world."""
        settings = {
            "STRIPE_API_KEY": self.spec.key,
            "STRIPE_API_BASE": self.stripe_base,
            "PAYMENTS_DATABASE_URL": f"sqlite:///{(self.folder / DATABASE).as_posix()}",
            "RUST_L1_INDEXER": self.indexer_base,
            "RUST_L1_ADMIN_TOKEN": self.spec.token or "INSECURE_DEV_TOKEN",
        }
        if self.spec.logs:
            settings["UCRED_INDEXER_LOG"] = (self.folder / INDEXER_LOG).as_posix()
            settings["UCRED_PAYMENTS_LOG"] = (self.folder / PAYMENTS_LOG).as_posix()
        return settings

    @property
    def truth(self) -> Truth:
        """What is true now, before anything that came over HTTP."""
        return self.world.truth()

    @property
    def credits(self) -> tuple[Credit, ...]:
        """Every credit that took effect, in order, whatever became of its answer."""
        return tuple(self.world.indexer.credits)

    @property
    def http_credits(self) -> tuple[Credit, ...]:
        """The credits that came over HTTP: the pipeline's, in a test."""
        return tuple(credit for credit in self.world.indexer.credits if credit.source == "http")

    def write_truth(self) -> None:
        """Write the truth beside the database."""
        self._write_truth(self.truth)

    def _write_truth(self, truth: Truth) -> None:
        (self.folder / TRUTH).write_bytes(orjson.dumps(truth.document()))

    def purchase(self, case: str = "credited", *, email: str | None = None, age: timedelta = _NOW) -> str:
        """Let somebody buy, now or some while ago; returns the PaymentIntent's id."""
        payment_intent = self.world.purchase(case, email, age)
        self.write_truth()
        return payment_intent

    def succeed(self, payment_intent: str) -> None:
        """A payment that was begun earlier arrives now, without a certificate yet."""
        self.world.succeed(payment_intent)
        self.write_truth()

    def issue(self, payment_intent: str, *, credited: bool = False) -> None:
        """A certificate is issued now."""
        self.world.issue(payment_intent, credited=credited)
        self.write_truth()

    def credit(self, payment_intent: str, *, memo: str | None = None, wei: int = WEI_PER_UCRED) -> None:
        """Somebody else credits a purchase now: support by hand, or with the memo given."""
        self.world.credit(payment_intent, memo, wei)
        self.write_truth()

    def refund(self, payment_intent: str, *, amount: int | None = None, status: str = "succeeded") -> str:
        """Give money back now, all of it when no amount in cents is named."""
        refund = self.world.refund(payment_intent, amount, status)
        self.write_truth()
        return refund

    def dispute(self, payment_intent: str, status: str = "needs_response") -> str:
        """The customer objects now; a second call moves the dispute on."""
        dispute = self.world.dispute(payment_intent, status)
        self.write_truth()
        return dispute

    def top_up(self, account: str, wei: int) -> None:
        """A consent gateway tops an account up now."""
        self.world.top_up(account, wei)
        self.write_truth()

    def debit(self, account: str, wei: int) -> None:
        """Take from an account, which no route of the reviewed build does."""
        self.world.debit(account, wei)
        self.write_truth()

    def restart_indexer(self) -> None:
        """The indexer forgets everything."""
        self.world.restart_indexer()
        self.write_truth()

    def set_token(self, token: str | None) -> None:
        """The operator rotates the token of the indexer; None unsets its variable."""
        self.world.indexer.token = token
