"""The book of corrections against a plain model: anything, by anyone, in any order, with stale objects."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ucred_pipeline.domain.answers import NEVER_AGAIN, NO_ANSWER, Answer, Effect
from ucred_pipeline.domain.corrections import (
    ACTIVE,
    ATTEMPT_TRANSITIONS,
    CORRECTION_TRANSITIONS,
    LIVE_ATTEMPT,
    NO_CREDIT,
    WITHDRAWN,
    Attempt,
    AttemptState,
    Correction,
    CorrectionState,
    PlanItem,
    correction_id,
)
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.ledger.corrections import NotNow
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.history import length, told_of
from ucred_pipeline.ledger.safety import (
    HoldKind,
    current_epoch,
    open_epoch,
    open_holds,
    raise_hold,
    release_holds,
)
from ucred_pipeline.ledger.schema import attempts, corrections
from ucred_pipeline_tests.conftest import FakeClock, careless
from ucred_pipeline_tests.ledger.stories import (
    A_SECOND,
    ACKNOWLEDGED,
    AMPLE,
    CREDIT_REFUSED,
    NEVER_SENT,
    TOKEN_REFUSED,
    UNCLEAR,
    add_plan,
    add_purchase,
    book_of,
    item,
    planned,
    request_at,
    sending,
    signed,
)

_C, _A = CorrectionState, AttemptState
#: Two purchases of one account, and one of another.
_PURCHASES: Final = (item(1), item(2, account=item(1).account), item(3))
_UNSETTLED: Final = (_A.SENDING, _A.IN_DOUBT)
_DENIED: Final = (_A.NOT_APPLIED, _A.RESOLVED_NOT_APPLIED)
_ANSWERED: Final = ("finished", "answer", "http_status", "duration_us", "new_balance", "state_root")

_any = st.integers(0, 99)
_books = st.integers(0, 1)
_kinds = st.sampled_from(CorrectionKind)
_answers = st.sampled_from(
    [ACKNOWLEDGED, ACKNOWLEDGED, NEVER_SENT, TOKEN_REFUSED, CREDIT_REFUSED, UNCLEAR, NO_ANSWER]
)
_waits = st.none() | st.integers(1, 5).map(lambda minutes: timedelta(minutes=minutes))


@dataclass
class Told:
    """What the model knows of a correction."""

    item: PlanItem
    state: CorrectionState = _C.PLANNED
    fence: int = 0
    failures: int = 0
    due: datetime | None = None

    def move(self, state: CorrectionState, due: datetime | None = None) -> None:
        """Change the state; when it may go again is forgotten unless it is said anew."""
        self.state, self.due = state, due


class Machine(RuleBasedStateMachine):
    """Does anything that the pipeline, a late sender or a person may do, and what the model says of it."""

    def __init__(self, template: Path) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        file = shutil.copy(template, Path(self._folder.name) / "ledger.db")
        self._ledger = careless(Ledger.open(f"sqlite:///{Path(file).as_posix()}"))
        self._clock = FakeClock()
        self._books = [book_of(self._ledger, self._clock, f"run{n}", f"host:{n}") for n in range(2)]
        self._corrections: dict[str, Told] = {}
        self._attempts: dict[str, AttemptState] = {}
        self._claims: list[Correction] = []
        self._sent: list[Attempt] = []
        self._holds: set[HoldKind] = set()
        self._epoch = 1
        self._rows: dict[str, dict[str, Any]] = {}
        with self._ledger.write() as connection:
            for purchase in _PURCHASES:
                add_purchase(connection, purchase)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._ledger.close()
        self._folder.cleanup()

    @rule(purchase=st.sampled_from(_PURCHASES), kind=_kinds, epoch=_any)
    def accept(self, purchase: PlanItem, kind: CorrectionKind, epoch: int) -> None:
        """Take a plan's item, of this epoch or of one that is over."""
        wanted = replace(purchase, kind=kind, epoch=epoch % self._epoch + 1)
        name = correction_id(wanted.payment_intent, kind, wanted.epoch)
        others = [one for other, one in self._corrections.items() if other != name]
        expected = not any(_open_for(one, wanted) for one in others)
        known = self._corrections.get(name)
        expected &= wanted.epoch == self._epoch
        expected &= known is None or known.state in {_C.PLANNED, *WITHDRAWN}

        found = self._books[0].accept(add_plan(self._ledger, [wanted]), [wanted])

        assert [name] * expected == [one.id for one in found]
        if expected and known is None:
            self._corrections[name] = Told(wanted)
        elif expected and known is not None and known.state in WITHDRAWN:
            known.move(_C.PLANNED)

    @precondition(lambda self: self._corrections)
    @rule(which=_any, book=_books)
    def claim(self, which: int, book: int) -> None:
        """Claim what may go, and be told why what may not."""
        name, told = self._correction(which)
        reason = self._why_no_claim(told)
        if reason is not None:
            self._refused(lambda: self._books[book].claim(name), reason)
            return
        self._claims.append(self._books[book].claim(name))
        told.move(_C.CLAIMED)
        told.fence += 1

    @precondition(lambda self: self._claims)
    @rule(which=_any, book=_books, state=st.sampled_from([_C.PLANNED, *sorted(WITHDRAWN)]), wait=_waits)
    def let_go(self, which: int, book: int, state: CorrectionState, wait: timedelta | None) -> None:
        """Give back a claim, or one that was lost long ago."""
        claimed = self._claims[-1 - which % len(self._claims)]
        due = self._later(wait)
        if not self._holds_claim(claimed):
            self._refused(lambda: self._books[book].let_go(claimed, state, "a test"), "claim_lost")
            return
        self._books[book].let_go(claimed, state, "a test", due)
        self._corrections[claimed.id].move(state, due)

    @precondition(lambda self: self._claims)
    @rule(which=st.just(0) | _any, book=_books)
    def begin_sending(self, which: int, book: int) -> None:
        """Write an attempt down, by a claim that stands or by one that was lost."""
        claimed = self._claims[-1 - which % len(self._claims)]
        request = request_at(self._clock.now())
        reason = self._why_not_sent(claimed)
        if reason is not None:
            self._refused(lambda: self._books[book].begin_sending(claimed, request, AMPLE), reason)
            return
        attempt = self._books[book].begin_sending(claimed, request, AMPLE)
        assert attempt.name not in self._attempts
        self._sent.append(attempt)
        self._attempts[attempt.name] = _A.SENDING
        self._corrections[claimed.id].move(_C.SENDING)

    @precondition(lambda self: self._sent)
    @rule(which=st.just(0) | _any, book=_books, answer=_answers, wait=_waits)
    def conclude(self, which: int, book: int, answer: Answer, wait: timedelta | None) -> None:
        """Report an outcome: in time, late, twice, or another one than before."""
        attempt, due = self._attempt(which), self._later(wait)
        self._books[book].conclude(attempt, answer, A_SECOND, due)
        state = self._attempts[attempt.name]
        if state in _DENIED and answer.effect is Effect.APPLIED:
            self._attempts[attempt.name] = _A.CONTRADICTION
            self._holds.add(HoldKind.CONTRADICTION)
        elif state is _A.APPLIED and answer.effect is Effect.NOT_APPLIED:
            self._holds.add(HoldKind.CONTRADICTION)
        elif state in _UNSETTLED:
            self._conclude_open(attempt, answer, due)

    @precondition(lambda self: self._sent)
    @rule(which=_any)
    def conclude_unknown(self, which: int) -> None:
        """Report an outcome of an attempt that the ledger does not have."""
        self._books[0].conclude(replace(self._attempt(which), number=99), ACKNOWLEDGED, A_SECOND, None)
        self._holds.add(HoldKind.CONTRADICTION)

    @rule(book=_books)
    def sweep_silent(self, book: int) -> None:
        """Take every sender for dead, also one that lives."""
        silent = self._in_state(_C.SENDING)
        assert set(silent) == set(self._books[book].sweep_silent())
        for name in self._in_state(_C.CLAIMED):
            self._corrections[name].move(_C.PLANNED)
        for name in silent:
            self._corrections[name].move(_C.IN_DOUBT)
            self._attempts[self._live(name)] = _A.IN_DOUBT

    @precondition(lambda self: self._sent)
    @rule(which=_any, book=_books, applied=st.booleans())
    def settle(self, *, which: int, book: int, applied: bool) -> None:
        """Settle a doubt, or what is none."""
        attempt = self._attempt(which)
        expected = self._attempts[attempt.name] is _A.IN_DOUBT
        given = self._books[book].settle(attempt, applied=applied, signed=signed(self._clock.now()))
        assert expected is given
        if expected:
            self._attempts[attempt.name] = _A.APPLIED if applied else _A.RESOLVED_NOT_APPLIED
            self._corrections[attempt.correction].move(_C.CONFIRMED if applied else _C.PLANNED)

    @precondition(lambda self: self._sent)
    @rule(which=_any)
    def quarantine(self, which: int) -> None:
        """Ask a person about a doubt, or about what is none."""
        attempt = self._attempt(which)
        self._books[0].quarantine(attempt, "a test")
        if self._corrections[attempt.correction].state is _C.IN_DOUBT:
            self._corrections[attempt.correction].move(_C.QUARANTINED)

    @precondition(lambda self: self._corrections)
    @rule(which=_any, state=st.sampled_from(sorted(WITHDRAWN)))
    def withdraw(self, which: int, state: CorrectionState) -> None:
        """End a correction that is planned, or try to end one that is not."""
        name, told = self._correction(which)
        self._books[0].withdraw(name, state, "a test")
        if told.state is _C.PLANNED:
            told.move(state)

    @precondition(lambda self: self._in_state(_C.REFUSED))
    @rule(which=_any)
    def retry_refused(self, which: int) -> None:
        """Plan again what was refused; the database refuses it beside an open credit of the other kind."""
        names = self._in_state(_C.REFUSED)
        name = names[which % len(names)]
        others = [one for other, one in self._corrections.items() if other != name]
        beside = any(_open_for(one, self._corrections[name].item) for one in others)
        if beside:
            with pytest.raises(IntegrityError):
                self._books[0].retry_refused(name, signed(self._clock.now()))
            return
        assert self._books[0].retry_refused(name, signed(self._clock.now()))
        self._corrections[name].move(_C.PLANNED)
        self._corrections[name].failures = 0

    @rule(kind=st.sampled_from(HoldKind))
    def hold(self, kind: HoldKind) -> None:
        """Raise a hold; of each kind there is one."""
        with self._ledger.write() as connection:
            assert raise_hold(connection, kind, signed(self._clock.now())) is (kind not in self._holds)
        self._holds.add(kind)

    @precondition(lambda self: self._holds)
    @rule()
    def release(self) -> None:
        """Release every hold."""
        with self._ledger.write() as connection:
            release_holds(connection, signed(self._clock.now()))
        self._holds.clear()

    @precondition(lambda self: self._epoch < 4)
    @rule(chance=_any)
    def open_epoch(self, chance: int) -> None:
        """Begin a new epoch, seldom, or be told that a request may still act."""
        if chance % 4:
            return
        unsettled = [one for one in self._sent if self._attempts[one.name] in _UNSETTLED]
        if any(one.settles_after > self._clock.now() for one in unsettled):
            with pytest.raises(TooEarly):
                self._open_epoch()
            return
        self._open_epoch()
        self._epoch += 1
        self._attempts |= dict.fromkeys((one.name for one in unsettled), _A.MOOT)
        for told in self._corrections.values():
            if told.state not in {_C.CONFIRMED, _C.EPOCH_CLOSED}:
                told.state = _C.EPOCH_CLOSED

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        """Let time pass."""
        self._clock.advance(timedelta(minutes=minutes))

    @invariant()
    def the_ledger_is_as_the_model_says(self) -> None:
        """States, fences, failures, the times to go again, holds and the epoch are those of the model."""
        with self._ledger.read() as connection:
            rows = connection.execute(select(corrections)).all()
            sent = connection.execute(select(attempts)).all()
            held = {one.kind for one in open_holds(connection)}
            epoch = current_epoch(connection)
        expected = {
            name: (one.state, one.fence, one.failures, one.due) for name, one in self._corrections.items()
        }
        assert expected == {row.id: (row.state, row.fence, row.failures, row.due) for row in rows}
        assert self._attempts == {f"{row.correction}.{row.number}": row.state for row in sent}
        assert (self._holds, self._epoch) == (held, epoch)

    @invariant()
    def never_two_at_once(self) -> None:
        """One live attempt of a correction, and one active correction of an account, are the most."""
        with self._ledger.read() as connection:
            live = connection.execute(
                select(attempts.c.correction).where(attempts.c.state.in_(sorted(LIVE_ATTEMPT)))
            ).scalars()
            active = connection.execute(
                select(corrections.c.account).where(corrections.c.state.in_(sorted(ACTIVE)))
            ).scalars()
            assert max([*Counter(live).values(), *Counter(active).values()], default=0) <= 1

    @invariant()
    def no_attempt_vanishes_or_is_rewritten(self) -> None:
        """What was sent stays as it was written, and so does its answer once there is one."""
        with self._ledger.read() as connection:
            found = connection.execute(select(attempts)).mappings().all()
        rows = {f"{row['correction']}.{row['number']}": dict(row) for row in found}
        for name, before in self._rows.items():
            answered = before["answer"] is not None
            kept = [key for key in before if key != "state" and (answered or key not in _ANSWERED)]
            assert [before[key] for key in kept] == [rows[name][key] for key in kept]
        self._rows = rows

    @invariant()
    def only_legal_steps_are_told(self) -> None:
        """The history of each correction and attempt begins and goes on as the rules allow, up to now."""
        with self._ledger.read() as connection:
            for name, told in self._corrections.items():
                steps = [_C(entry.event) for entry in told_of(connection, f"correction:{name}")]
                assert (_C.PLANNED, told.state) == (steps[0], steps[-1])
                assert all(b in CORRECTION_TRANSITIONS[a] or a == b == _C.PLANNED for a, b in pairwise(steps))
            for name, state in self._attempts.items():
                known = [_A(entry.event) for entry in told_of(connection, f"attempt:{name}")]
                assert (_A.SENDING, state) == (known[0], known[-1])
                assert all(after in ATTEMPT_TRANSITIONS[before] for before, after in pairwise(known))

    def _correction(self, which: int) -> tuple[str, Told]:
        return list(self._corrections.items())[which % len(self._corrections)]

    def _attempt(self, which: int) -> Attempt:
        return self._sent[-1 - which % len(self._sent)]

    def _in_state(self, state: CorrectionState) -> list[str]:
        return [name for name, told in self._corrections.items() if told.state is state]

    def _live(self, name: str) -> str:
        of_it = [one.name for one in self._sent if one.correction == name]
        return next(one for one in of_it if self._attempts[one] in LIVE_ATTEMPT)

    def _later(self, wait: timedelta | None) -> datetime | None:
        return None if wait is None else self._clock.now() + wait

    def _why_no_claim(self, told: Told) -> str | None:
        if told.state is not _C.PLANNED:
            return f"already_{told.state}"
        if told.due is not None and told.due > self._clock.now():
            return "waiting_to_retry"
        if self._holds:
            return "held"
        account = told.item.account
        busy = any(one.item.account == account and one.state in ACTIVE for one in self._corrections.values())
        return "account_busy" if busy else None

    def _why_not_sent(self, claimed: Correction) -> str | None:
        if not self._holds_claim(claimed):
            return "claim_lost"
        if self._holds:
            return "held"
        return None if claimed.epoch == self._epoch else "epoch_closed"

    def _holds_claim(self, claimed: Correction) -> bool:
        told = self._corrections[claimed.id]
        return (told.state, told.fence) == (_C.CLAIMED, claimed.fence)

    def _conclude_open(self, attempt: Attempt, answer: Answer, due: datetime | None) -> None:
        told = self._corrections[attempt.correction]
        was_sending = told.state is _C.SENDING
        if answer.effect is Effect.APPLIED:
            self._attempts[attempt.name] = _A.APPLIED
            told.move(_C.CONFIRMED, due)
            told.failures = 0
        elif answer.effect is Effect.NOT_APPLIED:
            self._attempts[attempt.name] = _A.NOT_APPLIED
            told.move(_C.REFUSED if was_sending and answer.kind in NEVER_AGAIN else _C.PLANNED, due)
            told.failures += 1
        elif was_sending:
            self._attempts[attempt.name] = _A.IN_DOUBT
            told.move(_C.IN_DOUBT, due)
            told.failures += 1

    def _refused(self, doing: Callable[[], object], reason: str) -> None:
        before = self._history()
        with pytest.raises(NotNow) as caught:
            doing()
        assert (reason, before) == (caught.value.reason, self._history())

    def _history(self) -> int:
        with self._ledger.read() as connection:
            return length(connection)

    def _open_epoch(self) -> None:
        with self._ledger.write() as connection:
            open_epoch(connection, signed(self._clock.now()))


def _open_for(told: Told, wanted: PlanItem) -> bool:
    """Whether a credit of the purchase and epoch is open, or ended with one."""
    same = (told.item.payment_intent, told.item.epoch) == (wanted.payment_intent, wanted.epoch)
    return same and told.state not in NO_CREDIT


def test_whatever_happens_the_book_keeps_the_rules(migrated_file: Path) -> None:
    """In any order of claims, answers, doubts, holds and epochs the ledger does as the model does."""

    class Prepared(Machine):
        def __init__(self) -> None:
            super().__init__(migrated_file)

    run_state_machine_as_test(Prepared, settings=settings(max_examples=80, stateful_step_count=50))


@pytest.mark.parametrize("ended", [*sorted(WITHDRAWN), _C.REFUSED])
def test_an_epoch_closes_both_kinds(sqlite_ledger: Ledger, clock: FakeClock, ended: CorrectionState) -> None:
    """A purchase whose first correction ended without a credit, and which has another, is no obstacle."""
    book, manual = book_of(sqlite_ledger, clock), item(1, kind=CorrectionKind.MANUAL)
    if ended is _C.REFUSED:
        book.conclude(sending(sqlite_ledger, book, clock, item(1)), CREDIT_REFUSED, A_SECOND, None)
    else:
        book.withdraw(planned(sqlite_ledger, book, item(1))[0].id, ended, "a test")
    book.accept(add_plan(sqlite_ledger, [manual]), [manual])

    with sqlite_ledger.write() as connection:
        assert open_epoch(connection, signed(clock.now())) == 2
