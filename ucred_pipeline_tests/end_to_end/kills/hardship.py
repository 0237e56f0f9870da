"""A world in which runs are killed one after the other, each with new purchases to credit and faults on."""

import random
import signal
import time
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from sqlalchemy import func, select

from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import Break, open_breaks
from ucred_pipeline.ledger.safety import HoldKind, open_holds
from ucred_pipeline.ledger.schema import attempts, corrections
from ucred_pipeline_tests.end_to_end.kills.oracles import doubled, lost, violations
from ucred_pipeline_tests.end_to_end.kills.processes import Running
from ucred_pipeline_tests.end_to_end.kills.strikes import Kill, Seen
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal, Said

#: Waits that one can sit through; a request to the sandbox takes effect at once, or a little later. The
#: events of three days are read again, for what is bought while runs are killed is two days old at once.
RULES: Final = (
    NO_LIMITS
    + """
[indexer]
quiescence_s = 4
send_deadline_s = 2
parallel_accounts = 3
[corrections]
backoff_s = 1
backoff_longest_s = 1
[stripe]
events_overlap_s = 259200
"""
)
SETTLES_AFTER_S: Final = 6.5
_FAULTS: Final = (
    "indexer-drop-before",
    "indexer-drop-after",
    "indexer-error-before",
    "indexer-error-after",
    "indexer-truncated",
    "indexer-foreign",
    "indexer-foreign-after",
)
_APPLY: Final = ("reconcile", "--apply", "--json")
_AGE: Final = timedelta(days=2)
_IN_DOUBT: Final = (AttemptState.SENDING, AttemptState.IN_DOUBT)
_BACKOFF_S: Final = 1
_MARGIN_S: Final = 0.5
_CALM_RUNS: Final = 8
_UNAIDED_CALM_RUNS: Final = 4
#: How a run may end that nobody killed: done, a source that could not be read, a hold, unsettled.
_ENDS: Final = frozenset({0, 3, 4, 5})


@dataclass(slots=True)
class Figures:
    """What happened; violations are what must never happen."""

    kills: int = 0
    runs: int = 0
    sends: int = 0
    effects: int = 0
    doubled: int = 0
    lost: int = 0
    left_to_a_person: int = 0
    releases: int = 0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Figures") -> Self:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self


class Hardship:
    """One world: killed runs, a look after each, and the calm in which everything is put right."""

    def __init__(self, rehearsal: Rehearsal, chance: random.Random) -> None:
        self.rehearsal = rehearsal
        self.figures = Figures()
        self._chance = chance
        self._typical_s = 2.0

    def let_fail(self, probability: float) -> None:
        """Let each fault of a credit happen so often, answers take a while, and reads fail now and then."""
        faults = self.rehearsal.sandbox.faults
        faults.set("indexer-latency", "0.02")
        faults.set("indexer-slow-answer", "0.3", probability=probability)
        faults.set("indexer-read-drop", probability=probability / 10)
        faults.set("stripe-error", probability=probability / 10)
        for name in _FAULTS:
            faults.set(name, probability=probability)

    def kill_one(self, kill: Kill) -> bool:
        """Start a run on some new purchases and kill it; False where it ended before."""
        for _ in range(self._chance.randint(3, 6)):
            self.rehearsal.sandbox.purchase("lacking_restarted", age=_AGE)
        self._release_breaker()
        began = time.monotonic()
        run = Running(self.rehearsal, *_APPLY, boundary=kill.boundary)
        kill.strike(run, Seen(self._typical_s, lambda: len(self.rehearsal.sandbox.http_credits)))
        code = run.end()
        if code == -signal.SIGKILL:
            self.figures.kills += 1
            self._look(f"after a run that was killed {kill}")
            return True
        self._typical_s = time.monotonic() - began
        self._ended(Said(code, "", run.said()), "a run that nobody killed in time")
        return False

    def calm_down(self) -> None:
        """Without faults and kills let runs finish everything, and a person settle what they cannot."""
        self.rehearsal.sandbox.faults.clear()
        for number in range(_CALM_RUNS):
            if number:
                self._wait_for_the_unsettled()
            if number >= _UNAIDED_CALM_RUNS:
                self._settle_by_a_person()
            self._release_breaker()
            self._ended(self.rehearsal.reconcile(), "a calm run")
            if not self._open_breaks():
                break
        self._end_with_commands()
        self._count()

    def _ended(self, said: Said, what: str) -> None:
        self.figures.runs += 1
        if said.code not in _ENDS:
            self._violated([f"{what} ended with {said.code}: {said.text[-1000:]}"])
        self._look(f"after {what}")

    def _look(self, when: str) -> None:
        self._violated([f"{when}: {found}" for found in violations(self.rehearsal)])

    def _violated(self, found: list[str]) -> None:
        self.figures.violations += found

    def _end_with_commands(self) -> None:
        """Let the last words be the command's, on the Dagster history that the killed runs left."""
        last = Running(self.rehearsal, *_APPLY)
        self.figures.runs += 1
        for name, code, text in (
            ("the last run", last.end(), last.said()),
            ("ucred verify", (said := self.rehearsal.ucred("verify")).code, said.text),
        ):
            if code:
                self._violated([f"{name} ended with {code}: {text}"])

    def _release_breaker(self) -> None:
        with self.rehearsal.ledger() as ledger, ledger.read() as connection:
            held = any(hold.kind is HoldKind.BREAKER for hold in open_holds(connection))
        if held:
            self.figures.releases += 1
            self._command("release", "--reason", "the faults are known")

    def _wait_for_the_unsettled(self) -> None:
        """Sleep until the newest attempt may be settled, if one is in doubt, and a correction sent again."""
        newest = select(func.max(attempts.c.settles_after)).where(attempts.c.state.in_(_IN_DOUBT))
        with self.rehearsal.ledger() as ledger, ledger.read() as connection:
            settles_after = connection.execute(newest).scalar_one()
        left_s = (settles_after - datetime.now(UTC)).total_seconds() if settles_after else 0
        time.sleep(max(left_s, _BACKOFF_S) + _MARGIN_S)

    def _open_breaks(self) -> list[Break]:
        with self.rehearsal.ledger() as ledger, ledger.read() as connection:
            return [found for kind in _UNSETTLED for found in open_breaks(connection, kind)]

    def _settle_by_a_person(self) -> None:
        """Let a person look into the indexer itself, as only a person can, and settle the doubts."""
        there = {credit.memo for credit in self.rehearsal.sandbox.http_credits}
        doubts = self._doubts()
        for found in self._open_breaks():
            if (memo := doubts.get(found.payment_intent)) is not None:
                self.figures.left_to_a_person += 1
                told = "credited" if memo in there else "not-credited"
                self._command("resolve", found.id, "--as", told, "--reason", "seen in the indexer")

    def _doubts(self) -> dict[str, str]:
        """The memo of each attempt in doubt, by the purchase."""
        joined = attempts.join(corrections, attempts.c.correction == corrections.c.id)
        chosen = select(corrections.c.payment_intent, attempts.c.memo).select_from(joined)
        with self.rehearsal.ledger() as ledger, ledger.read() as connection:
            rows = connection.execute(chosen.where(attempts.c.state == AttemptState.IN_DOUBT)).all()
        return {row.payment_intent: row.memo for row in rows}

    def _command(self, *arguments: str) -> None:
        said = self.rehearsal.ucred(*arguments, "--by", "Ida")
        if said.code:
            self._violated([f"ucred {arguments[0]} ended with {said.code}: {said.text}"])

    def _count(self) -> None:
        self._look("at the end")
        short, more = lost(self.rehearsal), doubled(self.rehearsal)
        self._violated([f"at the end: {found}" for found in short])
        self.figures.lost, self.figures.doubled = len(short), len(more)
        self.figures.effects = len(self.rehearsal.sandbox.http_credits)
        with self.rehearsal.ledger() as ledger, ledger.read() as connection:
            self.figures.sends = connection.execute(select(func.count()).select_from(attempts)).scalar_one()


_UNSETTLED: Final = (Verdict.LACKING, Verdict.IN_DOUBT, Verdict.AMBIGUOUS)
