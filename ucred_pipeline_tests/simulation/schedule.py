"""One schedule: a seed, what happens in it, and what came out."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ucred_pipeline_tests.simulation.engine import CLOCKS_OFF_S, Engine
from ucred_pipeline_tests.simulation.fate import Fate
from ucred_pipeline_tests.simulation.memory import SimulatedLedger, the_ledger
from ucred_pipeline_tests.simulation.network import Network
from ucred_pipeline_tests.simulation.oracles import Oracles, Wrong
from ucred_pipeline_tests.simulation.outside import Outside
from ucred_pipeline_tests.simulation.profiles import Profile, harder, profile_of
from ucred_pipeline_tests.simulation.stage import Process, Stage

#: In every so many schedules nothing is cut short: the real judge judges, over the real connection.
_REALLY_EVERY: Final = 997
_TROUBLED_RUNS: Final = 4
_CALM_RUNS: Final = 9
_BETWEEN_RUNS_S: Final = (60, 180, 400, 900, 1500)
#: When the retry queue looks, after it looked for the first time.
_RETRIED_AFTER_S: Final = (0, 60, 180)
_BUYERS: Final = 3
#: In most schedules there is another customer, who was credited long ago.
_OTHERS_SHARE: Final = 0.7
_ANOTHER: Final = 90


@dataclass(slots=True)
class Outcome:
    """What came out of one schedule."""

    seed: int
    profile: str
    violations: list[str] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    posts: int = 0
    effects: int = 0
    runs: int = 0
    crossed: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    by_person: int = 0
    trace: list[str] = field(default_factory=list)
    fault_count: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A schedule to play: its seed, and what of it is left out, which is how a failure shrinks.

    `really`: by the real judge and over the real connection, which are slower and come to the same.
    """

    seed: int
    profile: Profile
    spared: frozenset[int] = frozenset()
    purchases: int | None = None
    traced: bool = False
    really: bool = False


def case_of(seed: int) -> Case:
    """Give the schedule of a seed."""
    return Case(seed, profile_of(seed), really=seed % _REALLY_EVERY == 0)


def harder_case_of(seed: int) -> Case:
    """Give the schedule of a seed in more trouble than its profile has."""
    return Case(seed, harder(profile_of(seed), seed))


def play(case: Case) -> Outcome:
    """Play a schedule to its end."""
    return _Schedule(case).play()


def _spends(account: str) -> bool:
    """Whether the account is a customer's, and not an anchor of ours."""
    return account.startswith("acct:user:")


class _Schedule:
    """A schedule on stage."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._fate = Fate(case.seed, case.spared)
        self._stage = Stage(self._failed)
        self._outcome = Outcome(case.seed, case.profile.name)
        self._ledger: SimulatedLedger = the_ledger()
        self._outside = Outside(self._stage, self._fate, case.profile)
        self._oracles = Oracles(self._ledger, self._outside, self._tell)
        self._network = Network(self._outside, self._oracles.posted)
        self._outside.told.append(self._oracles.credited)
        self._engine = Engine(self._ledger, self._network, judges_really=case.really)
        self._oracles.known_life = lambda: self._engine.known_life

    def play(self) -> Outcome:
        """Buy, let trouble come, let it pass, and look at what is left."""
        self._ledger.begin(self._stage, self._fate, self._case.profile, is_quick=not self._case.really)
        with self._engine.on_stage(self._case.seed):
            try:
                self._buy()
                for _ in range(_TROUBLED_RUNS):
                    self._trouble()
                self._calm_down()
            finally:
                self._stage.close()
        self._ledger.stage = None
        self._oracles.at_the_end(self._engine)
        return self._told()

    def _buy(self) -> None:
        drawn = self._fate.dice.randint(1, 5)
        for number in range(1, (self._case.purchases or drawn) + 1):
            account = self._one_of_the_buyers()
            age = self._fate.one_of((0, 600, 90_000, 200_000))
            self._outside.buy(number, account, age)

        if self._fate.dice.random() < _OTHERS_SHARE:
            self._outside.buy_long_ago(_ANOTHER, "acct:user:another@example.com")

    def _one_of_the_buyers(self) -> str:
        return f"acct:user:{self._fate.dice.randint(1, _BUYERS)}@example.com"

    def _move(self) -> None:
        """Let somebody change the address of a purchase to another one, perhaps another buyer's."""
        self._outside.move(self._one_of_the_buyers())

    def _buy_another(self) -> None:
        """Let a customer who has bought before buy once more, now."""
        known = [number for number in self._outside.purchases if number != _ANOTHER]
        account = self._fate.one_of(sorted({self._outside.purchases[number].account for number in known}))
        self._outside.buy(max(known) + 1, account, 0)

    def _trouble(self) -> None:
        """Let one run happen, or two at once, and the world move on around it."""
        fate, rates, stage = self._fate, self._case.profile, self._stage
        copied = self._ledger_copy() if fate.strikes("copy_kept", rates.restored) else None
        self._engine.start_run()
        if fate.strikes("overlap", rates.overlap):
            stage.after(fate.between(0, 3), self._engine.start_run)
        self._world_moves()
        stage.play(fate.one_of(_BETWEEN_RUNS_S))
        self._oracles.at_a_pause()
        if copied is not None:
            self._restore(*copied)
        if fate.strikes("operator", 0.5):
            self._engine.start_operator()

    def _world_moves(self) -> None:
        span = self._fate.between(0, 1200)
        self._others_move(span)
        self._indexer_moves(span)
        if self._fate.strikes("clock_step", self._case.profile.clock_step):
            self._stage.after(self._fate.between(0, 3), self._step_clocks)
        if self._fate.strikes("bought", self._case.profile.bought):
            self._stage.after(span, self._buy_another)
        if self._fate.strikes("retry", self._case.profile.retry):
            for again_s in _RETRIED_AFTER_S:
                self._stage.after(span + again_s, self._engine.start_retry)

    def _others_move(self, span: float) -> None:
        """Let support and customers do something."""
        fate, rates, stage, outside = self._fate, self._case.profile, self._stage, self._outside
        if fate.strikes("support", rates.support):
            stage.after(span, self._support)
        if fate.strikes("top_up", rates.top_up):
            stage.after(span, outside.top_up)
        if fate.strikes("debit", rates.debit):
            stage.after(span, self._debit)
        if fate.strikes("refund", rates.refund):
            stage.after(span, outside.refund)
        if fate.strikes("moved", rates.moved):
            stage.after(span, self._move)

    def _indexer_moves(self, span: float) -> None:
        """Let the indexer be restarted, replaced, or lose lines of its log."""
        fate, rates, stage, outside = self._fate, self._case.profile, self._stage, self._outside
        if fate.strikes("restart", rates.restart):
            stage.after(fate.between(0, 5), self._restart)
        if fate.strikes("restart_announced", rates.restart / 2):
            stage.after(fate.between(0, 5), self._restart_with_notice)
        if fate.strikes("upgrade", rates.upgrade):
            stage.after(span, outside.upgrade)
        if fate.strikes("log_cut", rates.log_cut):
            stage.after(span, outside.cut_log)

    def _calm_down(self) -> None:
        """Let nothing more go wrong, and give the pipeline time to put things right."""
        self._fate.calm = True
        for _ in range(_CALM_RUNS):
            self._stage.play(1300)
            self._engine.start_run()
            self._stage.play(300)
            if self._is_settled():
                break
            self._engine.start_operator()

    def _is_settled(self) -> bool:
        """Whether no correction is on its way, and nothing is waiting for one."""
        moving = "('planned', 'claimed', 'sending', 'in_doubt', 'quarantined')"
        waits = self._oracles._query(f"SELECT 1 FROM corrections WHERE state IN {moving}", ())
        undecided = "verdict IS NULL OR verdict IN ('pending', 'lacking', 'in_doubt')"
        is_open = f"{undecided} OR reason = 'balance_outdated'"  # the next run reads the balance
        open_ones = self._oracles._query(f"SELECT 1 FROM purchases WHERE {is_open}", ())
        return not waits and not open_ones

    def _support(self) -> None:
        """Credit by hand where the pipeline has nothing under way: what the runbook allows support."""
        under_way = "state NOT IN ('confirmed', 'superseded', 'cancelled', 'epoch_closed')"
        rows = self._oracles._query(f"SELECT account FROM corrections WHERE {under_way}", ())
        busy = {row[0] for row in rows}
        free = [
            found
            for found in self._outside.purchases.values()
            if found.account not in busy
            and found.number not in self._outside.given_others
            and not self._outside.credits_of(found)
        ]
        if free and not self._engine.is_sending:
            self._tell("support credits by hand")
            self._outside.support_credits(self._fate.one_of(free))

    def _debit(self) -> None:
        held = sorted(account for account, wei in self._outside.balances.items() if wei and _spends(account))
        if held:
            self._outside.spend(self._fate.one_of(held), 10**18)

    def _restart(self) -> None:
        self._tell("the indexer restarts and forgets")
        self._outside.restart()

    def _restart_with_notice(self) -> None:
        self._engine.hold_for_restart()
        self._restart()

    def _step_clocks(self) -> None:
        """Step the clock of whoever runs now, and of no other."""
        for process in self._stage.living():
            process.clock.off_s += self._fate.one_of(CLOCKS_OFF_S)
            self._tell(f"the clock of {process.name} is off by {process.clock.off_s} s")

    def _failed(self, process: Process, failure: BaseException) -> None:
        """A process may end by a kill, or say why it stops; anything else is a fault of the engine."""
        told = failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure
        self._oracles.note(Wrong.FAULT, f"{process.name} fails: {type(told).__name__}: {told}"[:300])

    def _ledger_copy(self) -> tuple[bytes, int]:
        """Give a copy of the ledger, and which life of the indexer it knows of."""
        return self._ledger.copy(), self._engine.known_life

    def _restore(self, copied: bytes, known_life: int) -> None:
        """Put a stale copy in the ledger's place, with a hold, as the runbook says."""
        if self._stage.living():
            return
        self._tell("a stale copy of the ledger is restored")
        self._ledger.restore(copied)
        self._engine.known_life = known_life
        self._oracles.is_restored = True
        self._engine.hold_after_restore()

    def _tell(self, what: str) -> None:
        if self._case.traced:
            who = self._stage.current.name if self._stage.current else "world"
            self._outcome.trace.append(f"{self._stage.now:10.3f} {who:10} {what}")

    def _told(self) -> Outcome:
        outcome = self._outcome
        outcome.violations, outcome.wrong = self._oracles.violations, self._oracles.wrong
        outcome.faults = self._fate.struck
        outcome.fault_count = self._fate.faults
        outcome.posts = len(self._network.posts)
        outcome.effects = sum(post.effect is not None for post in self._network.posts)
        outcome.runs, outcome.crossed = self._engine.runs, self._oracles.crossed
        outcome.by_person = self._engine.by_person
        states = self._oracles._query("SELECT state FROM corrections", ())
        outcome.ended = Counter(row[0] for row in states)
        return outcome
