"""The real engine on stage: one run of the pipeline, and the operator who answers its questions."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from unittest import mock

from ucred_pipeline.corrections import issuing
from ucred_pipeline.corrections.resolving import CannotResolve
from ucred_pipeline.domain.clock import to_micros
from ucred_pipeline.domain.judging_frames import Decision
from ucred_pipeline.ledger import mirror
from ucred_pipeline.ledger.breaks import Break, open_breaks
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.plans import PlanState, approve_plan, plans_in
from ucred_pipeline.ledger.purchases import Days
from ucred_pipeline.ledger.reads import Read, Source, save_read
from ucred_pipeline.ledger.safety import HoldKind, Signed, open_holds, raise_hold, raise_hold_anew
from ucred_pipeline.ledger.sender_lock import AnotherSender
from ucred_pipeline.orchestration import crediting, interrupts, judgement, reading, retrying
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import Environment, Rules, Settings
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.indexer_log import CreditLog
from ucred_pipeline_tests.simulation import quick_judge
from ucred_pipeline_tests.simulation.memory import SimulatedLedger
from ucred_pipeline_tests.simulation.network import Network, SimulatedDoor, SimulatedSource
from ucred_pipeline_tests.simulation.outside import Outside, Purchase
from ucred_pipeline_tests.simulation.profiles import Profile
from ucred_pipeline_tests.simulation.stage import Process, Stage

#: A doubt that evidence does not settle in this time is put before a person; in seconds.
QUARANTINE_S: Final = 7200
#: By how much clocks are wrong when they are.
CLOCKS_OFF_S: Final = (-3600, -400, -20, 20, 400, 1000, 3600)
#: By how much a clock may be wrong before Stripe's gives it away.
_FAULT_S: Final = 30
#: Why a purchase that has moved is before a person, who asks each of its accounts.
_OF_MOVED: Final = {"addresses_differ", "credited_elsewhere", "stripe_address_differs"}
#: How old a hold is when the operator answers it: a request that left before it has had its time.
_LOOKS_AFTER_S: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPipeline(Pipeline):
    """The pipeline of one process, whose credits go over the simulated network."""

    network: Network

    def door(self) -> Any:
        """Give the way by which credits are sent."""
        return SimulatedDoor(self.network)


class Engine:
    """Starts runs of the pipeline, and the operator."""

    def __init__(self, ledger: SimulatedLedger, network: Network, *, judges_really: bool) -> None:
        self.ledger = ledger
        self.network = network
        self.stage: Stage = network.stage
        self.outside: Outside = network.outside
        self.runs = 0
        self.by_person = 0
        self.approved: set[str] = set()
        self.known_life = 0
        self._lost = False
        self._judge: Callable[[Pipeline], object] = (
            judgement.judge_marked if judges_really else quick_judge.judge_marked
        )
        self._settings = _settings(network.rates)
        self._sender: Process | None = None

    def pipeline(self, process: Process) -> SimulatedPipeline:
        """What a process knows."""
        return SimulatedPipeline(self._settings, self.ledger, process.clock, network=self.network)

    @property
    def is_sending(self) -> bool:
        """Whether some process may be sending now."""
        return self._sender is not None

    def hold_after_restore(self) -> None:
        """Hold, as `ucred restore` does with a copy of the ledger."""
        with self.ledger.write() as connection:
            signed = Signed("ada", self.stage.moment, "the ledger was restored from a copy")
            raise_hold_anew(connection, HoldKind.RESTORED, signed)

    def hold_for_restart(self) -> None:
        """Hold, as who restarts the indexer should: the operator knows that its state is lost."""
        self._lost = True
        with self.ledger.write() as connection:
            signed = Signed("ada", self.stage.moment, "the indexer is restarted")
            raise_hold(connection, HoldKind.PERSON, signed)

    def start_run(self) -> None:
        """Start a run of the pipeline as a process of its own."""
        self._start("run", self._run)

    def start_retry(self) -> None:
        """Start a run of the retry queue, which reads the balances and the log alone."""
        self._start("retry", self._retry)

    def _start(self, kind: str, work: Callable[[Process, str], None]) -> None:
        self.runs += 1
        name = f"{kind}-{self.runs}"
        process = self.stage.start(name, lambda process: work(process, name))
        if self.network.fate.strikes("clock_wrong", self.network.rates.clock_step / 2):
            process.clock.off_s = self.network.fate.one_of(CLOCKS_OFF_S)

    def start_operator(self) -> None:
        """Let an operator look, and do what the runbook says."""
        self.stage.start("operator", self._operate)

    def _run(self, process: Process, name: str) -> None:
        pipeline = self.pipeline(process)
        try:
            self._read(pipeline, name)
        except SourceUnreadable:
            return
        crediting.settle(pipeline, name)
        self._judge(pipeline)
        planned = crediting.plan(pipeline, name, Days())
        crediting.carry_out(pipeline, name, planned)
        self._judge(pipeline)

    def _retry(self, process: Process, name: str) -> None:
        with suppress(SourceUnreadable):
            retrying.settle_and_retry(self.pipeline(process), name, apply=True)

    def _read(self, pipeline: Pipeline, name: str) -> None:
        bought = self._read_stripe(pipeline, name)
        reading.read_balances(pipeline, name)
        self.outside.note_accounts(bought)
        reading.read_evidence(pipeline, name)

    def _read_stripe(self, pipeline: Pipeline, name: str) -> list[Purchase]:
        """Mirror what Stripe and the payments API have; Stripe's own clock gives a wrong one away."""
        began = pipeline.clock.now()
        if abs((began - self.stage.moment).total_seconds()) > _FAULT_S:
            raise SourceUnreadable("stripe", "its clock and ours differ", "Set the clock by NTP.")
        bought = [self.outside.purchases[number] for number in sorted(self.outside.purchases)]
        until = {"until_us": to_micros(began) + 1}
        with pipeline.ledger.write() as connection:
            mirror.store_payments(connection, [found.payment() for found in bought])
            mirror.store_records(connection, [found.record() for found in bought])
            mirror.store_issuances(connection, [found.issuance() for found in bought])
            for source in (Source.STRIPE, Source.PAYMENTS_DATABASE):
                save_read(connection, Read(name, source, began, began, True, len(bought), 0, until))
        return bought

    def _operate(self, process: Process) -> None:
        now = process.clock.now()
        signed = Signed("ada", now, "looked at it")
        self._answer_holds(process, signed)
        self._settle_what_is_asked(process, signed)
        with self.ledger.write() as connection:
            for plan in plans_in(connection, PlanState.WITHHELD):
                approve_plan(connection, plan, signed, timedelta(hours=24))
                self.approved.add(plan.hash)

    def _answer_holds(self, process: Process, signed: Signed) -> None:
        """Release what was looked at; a state that is lost is a new epoch, once nothing can act any more."""
        with self.ledger.read() as connection:
            holds = open_holds(connection)
        if not holds or any(hold.kind is HoldKind.CONTRADICTION for hold in holds):
            return
        if min((signed.at - hold.raised).total_seconds() for hold in holds) < _LOOKS_AFTER_S:
            return
        is_lost = self._lost or any(hold.kind is HoldKind.INDEXER_FORGOT for hold in holds)
        life = self.outside.life
        try:
            crediting.release(self.pipeline(process), signed, new_epoch=is_lost)
        except TooEarly:
            return
        if is_lost:
            self._lost, self.known_life = False, life

    def _settle_what_is_asked(self, process: Process, signed: Signed) -> None:
        """Settle what waits for a person by the truth, which a person finds in the indexer's own log."""
        resolver = crediting.resolver_of(self.pipeline(process), "by hand", "ada")
        for found, credited in self._asked():
            decision = Decision.CREDITED if credited else Decision.NOT_CREDITED
            with suppress(CannotResolve):
                resolver.resolve(found, decision, signed)
                self.by_person += 1

    def _asked(self) -> Iterator[tuple[Break, bool]]:
        """What a person is asked: doubts that have waited for long, and purchases that have moved."""
        with self.ledger.read() as connection:
            doubts, moved = open_breaks(connection, "in_doubt"), open_breaks(connection, "ambiguous")
            quarantined = set(
                connection.exec_driver_sql(
                    "SELECT payment_intent FROM corrections WHERE state = 'quarantined'"
                ).scalars()
            )
        bought = {found.payment_intent: found for found in self.outside.purchases.values()}
        for found in doubts:
            if found.payment_intent in quarantined:
                credits_of = self.outside.credits_of(bought[found.payment_intent])
                yield found, any(credit.ours for credit in credits_of)
        for found in moved if self.network.rates.moved else ():
            if found.reason in _OF_MOVED:
                yield found, self.outside.may_have_its_credit(bought[found.payment_intent])

    @contextmanager
    def sole_sender(self, _ledger: Ledger) -> Iterator[None]:
        """Be the only sender, as far as the lock holds: a connection that breaks takes it along."""
        me = self.network.process
        other = self._sender
        taken = other is not None and not other.ended and not other.dead
        if taken and not self.network.fate.strikes("lock_lost", self.network.rates.lock_lost):
            raise AnotherSender
        self._sender = me
        try:
            yield
        finally:
            if self._sender is me:
                self._sender = None

    def _run_on_stage(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.network.process.run(work)

    @contextmanager
    def on_stage(self, seed: int) -> Iterator[None]:
        """Put the simulated world in the place of the real one."""
        random.seed(seed)
        network = self.network
        with ExitStack() as stack:
            for where, name, instead in (
                (asyncio, "run", self._run_on_stage),
                (interrupts, "_SIGNALS", ()),  # a process on stage has no signals of its own
                (reading, "IndexerSource", lambda *_: SimulatedSource(network)),
                (reading, "read_indexer_log", lambda _: CreditLog(network.outside.readable_log(), 0)),
                (judgement, "judge_marked", self._judge),
                (crediting, "sole_sender", self.sole_sender),
                (issuing, "token_hex", lambda size: random.randbytes(size).hex()),
            ):
                stack.enter_context(mock.patch.object(where, name, instead))
            yield


def _settings(rates: Profile) -> Settings:
    log = "the log" if rates.logs else None
    environment = Environment.model_validate(
        {
            "ucred_database_url": "sqlite:///in-memory",
            "ucred_indexer_log": log,
            "rust_l1_indexer": "http://127.0.0.1:1",
        }
    )
    rules = {
        "evidence": {"other_writers": rates.other_writers, "debits_possible": rates.debits},
        "corrections": {
            "quarantine_after_s": QUARANTINE_S,
            "anchor": "account" if rates.anchors else "receipts",
        },
        **rates.rules,
    }
    return Settings(environment=environment, rules=Rules.model_validate(rules))
