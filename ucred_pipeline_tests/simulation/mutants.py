"""The rules of crediting, each switched off: what the simulation must then catch.

Each mutant breaks one rule of the real engine, in the simulation only, and says in which profile and within
how many seeds an oracle must notice.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from unittest import mock

from ucred_pipeline.corrections import issuing, settling
from ucred_pipeline.corrections.indexer import NoReply, Reply
from ucred_pipeline.corrections.issuing import Issuer
from ucred_pipeline.corrections.preflight import Gates
from ucred_pipeline.corrections.settling import LogProof, Settler
from ucred_pipeline.domain.answers import NO_ANSWER, Answer, Effect, read_answer
from ucred_pipeline.domain.corrections import Attempt, AttemptState, Correction, CorrectionState, Credit
from ucred_pipeline.domain.memos import memo_of
from ucred_pipeline.ledger import correction_rows, decisions, history, mirror
from ucred_pipeline.ledger import corrections as ledger_corrections
from ucred_pipeline.ledger import purchases as ledger_purchases
from ucred_pipeline.ledger.corrections import CorrectionBook
from ucred_pipeline.ledger.reads import last_closed
from ucred_pipeline.ledger.safety import Signed, open_epoch
from ucred_pipeline.orchestration import crediting, judgement, pipeline, reading
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.simulation import engine, memory
from ucred_pipeline_tests.simulation.network import SimulatedConnection
from ucred_pipeline_tests.simulation.outside import BUILD
from ucred_pipeline_tests.simulation.profiles import Profile, named
from ucred_pipeline_tests.simulation.schedule import Case, play

Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule that is switched off, where it shows, and within how many seeds of that profile."""

    name: str
    rule: str
    profile: Profile
    seeds: int
    patches: Callable[[], list[Patch]]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Break the rule for a while."""
        with ExitStack() as stack:
            for where, name, instead in self.patches():
                stack.enter_context(mock.patch.object(where, name, instead))
            yield


def _believing(is_failure: Callable[[Answer], bool]) -> list[Patch]:
    """Hold some answers that prove nothing for failures."""
    honest, silence = read_answer, NO_ANSWER

    def read(*told: Any) -> Answer:
        return believe(honest(*told))

    def believe(answer: Answer) -> Answer:
        fails = answer.effect is Effect.IN_DOUBT and is_failure(answer)
        return replace(answer, effect=Effect.NOT_APPLIED) if fails else answer

    return [(issuing, "read_answer", read), (issuing, "NO_ANSWER", believe(silence))]


def _no_write_ahead() -> list[Patch]:
    """Send first, and write down what happened when it is known."""

    async def send(self: Issuer, indexer: Any, claimed: Any, request: Any, ceiling: Any) -> None:
        with self._ledger.read() as connection:
            number = 1 + len(correction_rows.attempts_of(connection, claimed.id))
        memo = memo_of(claimed.kind, claimed.namespace, claimed.id, number)
        unwritten = Attempt(
            claimed.id, number, AttemptState.SENDING, claimed.account, claimed.amount, memo,
            request.balance_before, request.root_before, request.account_quiet, None, None, self._clock.now(),
            request.deadline, request.settles_after, claimed.fence,
        )  # fmt: skip
        answer = await self._ask(indexer, claimed, unwritten, self._clock.monotonic())
        written = self._book.begin_sending(claimed, request, ceiling)
        self._book.conclude(written, answer, timedelta(0), self._due(claimed, answer))

    return [(Issuer, "_send", send)]


def _silent_is_planned() -> list[Patch]:
    """Take what was found `sending` for never sent."""

    def plan_again(self: CorrectionBook, connection: Any, found: Correction) -> None:
        attempt = correction_rows.live_attempt(connection, found.id)
        assert attempt is not None
        self._move_attempt(connection, attempt, AttemptState.NOT_APPLIED, "sender_stopped")
        self._change(connection, found, CorrectionState.PLANNED, "sender_stopped")

    return [(CorrectionBook, "_doubt", plan_again)]


def _rules_with(**changes: Any) -> list[Patch]:
    honest = pipeline.Pipeline.issuing_rules
    return [(pipeline.Pipeline, "issuing_rules", lambda self: replace(honest(self), **changes))]


def _no_deadline() -> list[Patch]:
    """Send however long the process was held up."""
    honest = Issuer._ask

    async def ask(self: Issuer, indexer: Any, claimed: Any, attempt: Attempt, _began: float) -> Answer:
        late = replace(attempt, deadline=datetime.max.replace(tzinfo=attempt.deadline.tzinfo))
        return await honest(self, indexer, claimed, late, self._clock.monotonic())

    return [(Issuer, "_ask", ask)]


def _no_grace() -> list[Patch]:
    """Hold a purchase for lacking while the payments API may still mint it."""
    evidence = judgement._evidence
    settling, issuing_rules = pipeline.Pipeline.settling_rules, pipeline.Pipeline.issuing_rules

    def settles(self: pipeline.Pipeline) -> Any:
        return replace(settling(self), grace=timedelta(0))

    def issues(self: pipeline.Pipeline) -> Any:
        return replace(issuing_rules(self), grace=timedelta(0))

    def hasty(*told: Any) -> Any:
        return replace(evidence(*told), grace_us=1)

    return [
        (pipeline.Pipeline, "settling_rules", settles),
        (pipeline.Pipeline, "issuing_rules", issues),
        (judgement, "_evidence", hasty),
    ]


def _no_memory() -> list[Patch]:
    """Never ask whether the indexer still remembers."""

    async def remembers(*_: Any) -> None:
        """It does, says the mutant."""

    return [
        (Gates, "check_memory", remembers),
        (reading, "forgotten", lambda *_, **__: []),
        (mirror, "fallen_balances", lambda *_: []),
        (mirror, "held_anything", lambda *_: False),
        *_mixed_lives(),
    ]


def _mixed_lives() -> list[Patch]:
    """Take what was read of a balance before a restart for what is there after it."""
    return [(mirror, "held_more", lambda *_: [])]


def _no_clock_gate() -> list[Patch]:
    honest = Gates.check_sight

    def check(self: Gates, sight: Any) -> None:
        honest(self, replace(sight, server_date=sight.began))

    return [(Gates, "check_sight", check), (engine, "_FAULT_S", 1e9)]


def _trusting_logs() -> list[Patch]:
    """Take every log for complete."""
    honest, evidence = judgement.log_proof, judgement._evidence

    def proof(connection: Any) -> LogProof | None:
        found = honest(connection)
        return replace(found, complete=True) if found else None

    def trusting(*told: Any) -> Any:
        found = evidence(*told)
        return replace(found, log_complete=found.log_as_of_us >= 0)

    return [(crediting, "log_proof", proof), (judgement, "_evidence", trusting)]


def _no_holds() -> list[Patch]:
    return [(ledger_corrections, "open_holds", lambda _: []), (crediting, "open_holds", lambda _: [])]


def _no_limits() -> list[Patch]:
    from ucred_pipeline.corrections import planning  # noqa: PLC0415 - named here alone

    return [
        (CorrectionBook, "_refuse_over", lambda *_: None),
        (planning, "excesses", lambda *_: []),
    ]


def _stale_evidence() -> list[Patch]:
    """Send on what was read before the claim."""
    return [
        (issuing, "judged_balance", lambda *_: _Anything()),
        (ledger_corrections, "_refuse_claim", _claim),
    ]


class _Anything:
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def _claim(connection: Any, found: Correction, _now: datetime) -> None:
    if found.state is not CorrectionState.PLANNED or correction_rows.is_busy(connection, found.account):
        raise ledger_corrections.NotNow("account_busy")


def _always_quiet() -> list[Patch]:
    honest = pipeline.Pipeline.settling_rules

    def rules(self: pipeline.Pipeline) -> Any:
        return replace(honest(self), other_writers=False, debits_possible=False)

    return [(Settler, "_is_quiet", lambda *_: True), (pipeline.Pipeline, "settling_rules", rules)]


def _old_records() -> list[Patch]:
    """Take what was read of the payments API's records before a balance for what is so after it."""

    def as_if_read_now(*told: Any) -> Any:
        found = last_closed(*told)
        return found and replace(found, began=NOON + timedelta(days=99))

    return [(settling, "last_closed", as_if_read_now)]


def _hasty_epoch() -> list[Patch]:
    """Open a new epoch while a request may still take effect."""

    def at_once(connection: Any, signed: Signed) -> int:
        return open_epoch(connection, replace(signed, at=signed.at + timedelta(days=1)))

    return [(crediting, "open_epoch", at_once), (engine, "_LOOKS_AFTER_S", 0)]


def _debits_forgotten() -> list[Patch]:
    """Take balances for ones that only rise, where customers spend."""
    rules, evidence = pipeline.Pipeline.settling_rules, judgement._evidence

    def forgetful(self: pipeline.Pipeline) -> Any:
        return replace(rules(self), debits_possible=False, other_writers=False)

    def blind(*told: Any) -> Any:
        return replace(evidence(*told), debits_possible=False)

    return [(pipeline.Pipeline, "settling_rules", forgetful), (judgement, "_evidence", blind)]


def _unfenced() -> list[Patch]:
    return [(ledger_corrections, "_fenced", lambda _, claimed: claimed)]


def _resending() -> list[Patch]:
    """Send once more where no answer came, as a client that retries does."""
    honest = SimulatedConnection.credit

    async def credit(self: SimulatedConnection, told: Credit, key: str) -> Reply:
        try:
            return await honest(self, told, key)
        except NoReply:
            return await honest(self, told, key)

    return [(SimulatedConnection, "credit", credit)]


def _any_build() -> list[Patch]:
    """Send to whatever build answers."""
    honest = Gates.check_sight

    def check(self: Gates, sight: Any) -> None:
        honest(self, replace(sight, build=BUILD))

    return [(Gates, "check_sight", check)]


def _unguarded() -> list[Patch]:
    """Take the database's guards away, and the fence, which they stand behind."""
    guarded = memory._empty()

    def unguarded() -> bytes:
        with closing(sqlite3.connect(":memory:")) as raw:
            raw.deserialize(guarded)
            for kind, name in raw.execute(_GUARDS).fetchall():
                raw.execute(f"DROP {kind} {name}")
            raw.commit()
            return raw.serialize()

    return [(memory, "_empty", cache(unguarded)), *_unfenced()]


_GUARDS: Final = (
    "SELECT type, name FROM sqlite_master WHERE type = 'trigger' OR sql LIKE 'CREATE UNIQUE INDEX%'"
)


def _busy_accounts() -> list[Patch]:
    """Let two corrections of an account be under way at once."""
    return [*_unguarded()[:1], (ledger_corrections, "is_busy", lambda *_: False)]


def _unread_copy() -> list[Patch]:
    """Send from a copy of the ledger before what was credited since it was made is read."""
    return [(crediting, "_refuse_before_it_was_read", lambda *_: None), (engine, "_LOOKS_AFTER_S", 0)]


def _hasty_denial() -> list[Patch]:
    """Believe a person who says "not credited" while the payments API may still mint."""
    honest = crediting.resolver_of

    def hasty(*told: Any) -> Any:
        return replace(honest(*told), grace=timedelta(0))

    return [(crediting, "resolver_of", hasty)]


#: Installations in which what a mutant breaks shows soon.
_LOSSY: Final = replace(named("logs"), request=0.1, slow=0.4, crash=0.0, pause=0.0)
_LOSSY_BALANCES: Final = replace(named("balances"), request=0.1, slow=0.4, crash=0.0, pause=0.0)
_CRASHING: Final = replace(named("balances"), slow=0.5, crash_posting=0.6)
_PAUSING: Final = replace(named("several_senders"), pause=0.15, crash=0.0)
_TWO_AT_ONCE: Final = replace(
    named("several_senders_on_balances"), pause=0.1, crash=0.0, request=0.2, slow=0.4
)
_GAPPY: Final = replace(named("gappy_logs"), line_lost=0.4, request=0.2)
_LATE: Final = replace(_LOSSY_BALANCES, request=0.0)
_CLOCKS: Final = replace(named("clocks_on_balances"), clock_step=0.9, slow=0.4, pause=0.03)
_TOPPED_UP: Final = replace(named("balances_and_top_ups"), request=0.3, slow=0.0, top_up=0.9, support=0.5)
_RESTARTING: Final = replace(named("restarts"), restart=0.7, request=0.0, slow=0.7, crash=0.0)
_RESTARTING_AMID: Final = replace(
    named("restarts_amid"), restart=1.0, support=1.0, pause=0.12, overlap=0.0, late_mint=0.0, request=0.0,
    read=0.0, crash=0.0,
)  # fmt: skip
_RESTORED: Final = replace(named("restored"), restored=0.9, slow=0.3)
_SPENDING: Final = replace(named("debits"), debit=0.9, request=0.3)
_RETRYING: Final = named("retries_on_balances")
_MOVING: Final = replace(
    named("movers_on_balances"), moved=1.0, late_mint=0.9, request=0.0, slow=0.0, crash=0.0, pause=0.0
)
_BUSY: Final = replace(named("busy_logs"), late_mint=1.0, support=0.6, pause=0.05)

MUTANTS: Final = (
    Mutant(
        "retry_in_doubt", "what is in doubt is not sent again", _LOSSY, 40,
        lambda: _believing(lambda _: True),
    ),
    Mutant(
        "any_5xx_failed", "a 5xx proves nothing", _LOSSY_BALANCES, 150,
        lambda: _believing(lambda answer: (answer.http_status or 0) >= 500),
    ),
    Mutant(
        "broken_200_failed", "a broken 200 proves nothing", _LOSSY_BALANCES, 150,
        lambda: _believing(lambda answer: answer.http_status == 200),
    ),
    Mutant("no_write_ahead", "written before it is sent", named("logs"), 30, _no_write_ahead),
    Mutant("silent_is_planned", "what was found sending is in doubt", _CRASHING, 150, _silent_is_planned),
    Mutant(
        "no_quiescence", "absence counts only after the quiescence", _LATE, 150,
        lambda: _rules_with(quiescence=timedelta(0)),
    ),
    Mutant(
        "no_deadline", "a process that was held up does not send", replace(_PAUSING, pause=0.25), 600,
        _no_deadline,
    ),
    Mutant("no_fence", "sending is fenced", _PAUSING, 150, _unfenced),
    Mutant("no_grace", "the payments API has its time", named("busy_logs"), 30, _no_grace),
    Mutant("no_memory", "an indexer that forgot is sent nothing", named("restarts"), 60, _no_memory),
    Mutant(
        "mixed_lives", "what was read of a state that is lost is no evidence", _RESTARTING_AMID, 5000,
        _mixed_lives,
    ),
    Mutant("no_clock_gate", "clocks agree", _CLOCKS, 300, _no_clock_gate),
    Mutant("trusting_logs", "only a proved log proves absence", _GAPPY, 150, _trusting_logs),
    Mutant("no_holds", "nothing is sent under a hold", named("restored"), 60, _no_holds),
    Mutant("no_limits", "limits hold", named("limits"), 60, _no_limits),
    Mutant("stale_evidence", "evidence is taken after the claim", _BUSY, 300, _stale_evidence),
    Mutant("always_quiet", "a balance settles only a quiet account", _TOPPED_UP, 300, _always_quiet),
    Mutant("old_records", "what a balance shows may be a mint since", _RETRYING, 600, _old_records),
    Mutant(
        "no_cross_check", "Stripe's address tells of a move before the first look", _MOVING, 300,
        lambda: [(ledger_purchases, "paid_elsewhere", lambda *_: None)],
    ),
    Mutant(
        "lasting_denial", "a person's word lapses when others give or it moves", _MOVING, 4000,
        lambda: [(decisions, "_why_lapsed", lambda *_: None)],
    ),
    Mutant("hasty_denial", "nobody denies what may still be minted", _MOVING, 300, _hasty_denial),
    Mutant("hasty_epoch", "a new epoch waits for the quiescence", _RESTARTING, 300, _hasty_epoch),
    Mutant("resending", "a request is sent once", _LOSSY, 60, _resending),
    Mutant(
        "any_4xx_failed", "a refusal that is not known proves nothing", _LOSSY_BALANCES, 300,
        lambda: _believing(lambda answer: 300 <= (answer.http_status or 0) < 500),
    ),
    Mutant(
        "any_429_failed", "a 429 proves nothing where a gateway forwards", _LOSSY_BALANCES, 600,
        lambda: _rules_with(early_429=True),
    ),
    Mutant("any_build", "only a reviewed build is sent to", named("upgrades"), 60, _any_build),
    Mutant(
        "no_anchor_first", "with its own anchors, an epoch begins with one", named("anchors"), 30,
        lambda: [(ledger_corrections, "is_anchored", lambda _: True)],
    ),
    Mutant("no_guards", "the database guards the states", _PAUSING, 600, _unguarded),
    Mutant("busy_accounts", "one at a time within an account", _TWO_AT_ONCE, 300, _busy_accounts),
    Mutant("unread_copy", "a copy of the ledger is held until it was read", _RESTORED, 300, _unread_copy),
    Mutant(
        "untold", "every change is in the history", named("logs"), 30,
        lambda: [(CorrectionBook, "_tell", lambda *_: None)],
    ),
    Mutant(
        "unchained", "each entry is chained to the one before", named("logs"), 30,
        lambda: [(history, "hash_of", lambda *told: str(told[0]) * 64)],
    ),
    Mutant("debits_forgotten", "where debits are possible less is proved", _SPENDING, 300, _debits_forgotten),
)  # fmt: skip


def caught_at(mutant: Mutant, first: int = 0) -> tuple[int | None, str]:
    """Play its seeds with a rule switched off until an oracle notices, one seed before all others.

    Give the seed, and what the oracle says.
    """
    with mutant.at_work():
        for seed in (first, *range(mutant.seeds)):
            outcome = play(Case(seed, mutant.profile))
            if outcome.violations:
                return seed, outcome.violations[0]
    return None, ""
