"""Every change of a correction and of its attempts: each one transaction, with who and why.

The database refuses what the state machine does not allow, whoever writes. What a method returns
is already on disk. Money is reserved from `sending` on: what may have had an effect counts against
the limits until it is known that it had none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from ucred_pipeline.domain.answers import NEVER_AGAIN, Answer, Effect
from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.corrections import (
    NO_CREDIT,
    WITHDRAWN,
    Attempt,
    AttemptState,
    Correction,
    CorrectionState,
    EpochAnchor,
    PlanItem,
    correction_id,
)
from ucred_pipeline.domain.memos import is_plain, memo_of, read_memo
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.anchors import acknowledge_anchor, begin_anchor, is_anchored
from ucred_pipeline.ledger.correction_rows import (
    attempt_row,
    corrections_in_epoch,
    find_correction,
    find_corrections,
    get_correction,
    is_busy,
    last_number,
    live_attempt,
    named_though_not_applied,
    reserved_in_a_day,
    reserved_in_run,
)
from ucred_pipeline.ledger.errors import LedgerContradiction
from ucred_pipeline.ledger.group_commit import Writes
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.mirror import mark_groups
from ucred_pipeline.ledger.safety import (
    HoldKind,
    Signed,
    current_epoch,
    note_answer,
    open_holds,
    raise_hold,
)
from ucred_pipeline.ledger.schema import (
    attempts,
    balances,
    corrections,
    dirty_payments,
    purchases,
)
from ucred_pipeline.ledger.upsert import row_of, upsert

_C, _A = CorrectionState, AttemptState

# Built once: an `of` names the row, and the columns that change are those that `execute` is given.
_CREATING: Final = insert(corrections)
_CHANGING: Final = update(corrections).where(corrections.c.id == bindparam("of"))
_ATTEMPTING: Final = insert(attempts)
_MOVING: Final = update(attempts).where(
    attempts.c.correction == bindparam("of"), attempts.c.number == bindparam("attempt")
)
_ANSWERING: Final = _MOVING.where(attempts.c.answer.is_(None))
_READING_ANEW: Final = update(balances).where(balances.c.account == bindparam("of")).values(root=None)
_PURCHASE: Final = select(
    purchases.c.verdict,
    purchases.c.account,
    purchases.c.namespace,
    purchases.c.entitlement,
    (purchases.c.succeeded & ~purchases.c.refunded & ~purchases.c.disputed & ~purchases.c.voided).label(
        "owed"
    ),
).where(purchases.c.payment_intent == bindparam("payment_intent"))
_MARKED: Final = select(dirty_payments).where(dirty_payments.c.payment_intent == bindparam("payment_intent"))

#: Why a planned correction cannot go on whose purchase is now of another account, name or amount.
PURCHASE_CHANGED: Final = "purchase_changed"
#: Why a correction is refused whose attempts all failed.
ATTEMPTS_EXHAUSTED: Final = "attempts_exhausted"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: the owner of claims, the run, and the actor that the history names.

    One that `anchors` sends nothing in an epoch before its own anchor is acknowledged.
    """

    owner: str
    run_id: str
    actor: str = "pipeline"
    anchors: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is known at the moment before a request leaves; amounts in wei. See Attempt for the witness."""

    build: str
    balance_before: int
    root_before: str
    account_quiet: bool
    witness: str | None
    witness_wei: int | None
    began: datetime
    deadline: datetime
    settles_after: datetime


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How much may be sent, in corrections and wei; an approved plan has none."""

    corrections_per_run: int
    wei_per_run: int
    wei_per_day: int


class NotNow(Exception):
    """The ledger does not let this correction go on now; `reason` is machine-readable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CorrectionBook:
    """The corrections in the ledger, and the only way to change them."""

    def __init__(self, ledger: Writes, clock: Clock, sender: Sender) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sender = sender

    def within(self, writes: Writes) -> "CorrectionBook":
        """The same book in the same hand, which writes within a transaction of others."""
        return CorrectionBook(writes, self._clock, self._sender)

    def accept(self, plan: str, items: Sequence[PlanItem]) -> list[Correction]:
        """Take a plan's items as corrections that may be sent; those already there join the plan.

        An item of an epoch that is over drops out, and so does one that another kind is to credit.
        """
        with self._ledger.write() as connection:
            return [found for item in items if (found := self._accept(connection, plan, item))]

    def claim(self, correction: str) -> Correction:
        """Make a planned correction this sender's own; raise NotNow when it may not go on."""
        try:
            with self._ledger.write() as connection:
                found = get_correction(connection, correction)
                _refuse_claim(connection, found, self._clock.now())
                owner, fence = self._sender.owner, found.fence + 1
                return self._change(connection, found, _C.CLAIMED, "claimed", owner=owner, fence=fence)
        except IntegrityError:
            raise NotNow("account_busy") from None

    def let_go(
        self, claimed: Correction, state: CorrectionState, reason: str, due: datetime | None = None
    ) -> None:
        """Give a claim back before anything was sent: planned again, superseded or cancelled."""
        with self._ledger.write() as connection:
            found = _fenced(connection, claimed)
            self._change(connection, found, state, reason, due=due)
            mark_groups(connection, [found.account])
            connection.execute(_READING_ANEW, {"of": found.account})

    def begin_sending(self, claimed: Correction, request: Request, ceiling: Ceiling | None) -> Attempt:
        """Write down, before the first byte leaves, that this credit may have happened.

        One transaction checks the claim's fence, the epoch, its anchor, the holds, what is known of the
        purchase and the limits, and reserves the amount. Raises NotNow, and then nothing may be sent.
        """
        with self._ledger.write() as connection:
            found = _fenced(connection, claimed)
            if open_holds(connection):
                raise NotNow("held")
            if found.epoch != current_epoch(connection):
                raise NotNow("epoch_closed")
            if self._sender.anchors and not is_anchored(connection):
                raise NotNow("anchor_missing")
            _verdict_of_owed(connection, found)
            if ceiling is not None:
                self._refuse_over(connection, found, ceiling)
            if not _is_read_back(found):
                raise NotNow("memo_unreadable")
            attempt = self._new_attempt(connection, found, request)
            self._change(connection, found, _C.SENDING, "sending")
            return attempt

    def conclude(
        self,
        attempt: Attempt,
        answer: Answer,
        duration: timedelta,
        due: datetime | None,
        *,
        last: bool = False,
    ) -> int:
        """Record what came back for a request; `due` is when a planned correction may go again.

        The `last` one that fails is followed by none until a person says so. Returns how many requests in a
        row have ended in doubt.
        """
        with self._ledger.write() as connection:
            row = attempt_row(connection, attempt)
            if row is None or row.memo != attempt.memo:
                told = f"an outcome arrived for attempt {attempt.name}, which the ledger does not have"
                raise_hold(connection, HoldKind.CONTRADICTION, self._signed(told))
                return note_answer(connection, answer.effect)
            self._write_answer(connection, attempt, answer, duration)
            if row.state in (_A.NOT_APPLIED, _A.RESOLVED_NOT_APPLIED) and answer.effect is Effect.APPLIED:
                self._contradict(connection, attempt, "acknowledged")
            elif row.state == _A.APPLIED and answer.effect is Effect.NOT_APPLIED:
                told = f"attempt {attempt.name} was settled as applied, and its own sender proves that not"
                raise_hold(connection, HoldKind.CONTRADICTION, self._signed(told))
            elif row.state in (_A.SENDING, _A.IN_DOUBT):
                self._conclude_open(connection, attempt, answer, due, last=last)
            return note_answer(connection, answer.effect)

    def needs_anchor(self) -> bool:
        """Whether nothing may be sent before this epoch has an anchor."""
        if not self._sender.anchors:
            return False
        with self._ledger.write() as connection:
            return not is_anchored(connection)

    def begin_anchor(self, anchor: EpochAnchor) -> None:
        """Write down that an anchor may take effect; raise NotNow under a hold."""
        with self._ledger.write() as connection:
            if open_holds(connection):
                raise NotNow("held")
            begin_anchor(connection, anchor, self._signed(self._sender.run_id))

    def acknowledge_anchor(self, anchor: EpochAnchor) -> None:
        """Keep that the indexer acknowledged an anchor."""
        with self._ledger.write() as connection:
            acknowledge_anchor(connection, anchor, self._signed(self._sender.run_id))

    def sweep_silent(self) -> list[str]:
        """Put in doubt what was found `sending`; give back claims that sent nothing.

        Call it while holding the sender's lock: then whoever was sending is known to be dead.
        """
        with self._ledger.write() as connection:
            for found in find_corrections(connection, states=[_C.CLAIMED]):
                self._change(connection, found, _C.PLANNED, "sender_stopped")
            silent = find_corrections(connection, states=[_C.SENDING])
            for found in silent:
                self._doubt(connection, found)
            return [found.id for found in silent]

    def settle(self, attempt: Attempt, *, applied: bool, signed: Signed) -> bool:
        """Settle a doubt by evidence or by a person's word; False where it is no doubt any more."""
        with self._ledger.write() as connection:
            row = attempt_row(connection, attempt)
            if row is None or row.state != _A.IN_DOUBT:
                return False
            found = get_correction(connection, attempt.correction)
            state = _A.APPLIED if applied else _A.RESOLVED_NOT_APPLIED
            self._move_attempt(connection, attempt, state, signed.reason, signed)
            after = _C.CONFIRMED if applied else _C.PLANNED
            self._change(connection, found, after, signed.reason, signed=signed)
            mark_groups(connection, [found.account])
            return True

    def contradict_by_log(self) -> None:
        """Hold everything where a line of the log names an attempt that was held to have had no effect."""
        with self._ledger.write() as connection:
            for attempt in named_though_not_applied(connection):
                self._contradict(connection, attempt, "named by a line of the log")

    def quarantine(self, attempt: Attempt, reason: str) -> None:
        """Ask a person about a doubt that the evidence did not settle in time."""
        with self._ledger.write() as connection:
            found = get_correction(connection, attempt.correction)
            if found.state is _C.IN_DOUBT:
                self._change(connection, found, _C.QUARANTINED, reason)

    def withdraw(self, correction: str, state: CorrectionState, reason: str) -> None:
        """End a planned correction: owed no more (cancelled), or credited by another (superseded)."""
        with self._ledger.write() as connection:
            found = get_correction(connection, correction)
            if found.state is _C.PLANNED:
                self._change(connection, found, state, reason)
                mark_groups(connection, [found.account])

    def retry_refused(self, correction: str, signed: Signed) -> bool:
        """Plan a refused correction again, because a person has put right why it was refused."""
        with self._ledger.write() as connection:
            found = get_correction(connection, correction)
            if found.state is not _C.REFUSED:
                return False
            self._change(connection, found, _C.PLANNED, "retried_by_person", signed=signed, failures=0)
            return True

    def _accept(self, connection: Connection, plan: str, item: PlanItem) -> Correction | None:
        name = correction_id(item.payment_intent, item.kind, item.epoch)
        if item.epoch != current_epoch(connection) or _claimed_by_another_kind(connection, item):
            return None
        found = find_correction(connection, name)
        if found is None:
            return self._create(connection, name, plan, item)
        if found.state in WITHDRAWN:
            return self._change(connection, found, _C.PLANNED, "lacking_again", plan=plan)
        if found.state is _C.PLANNED:
            return self._change(connection, found, _C.PLANNED, found.reason, plan=plan, due=found.due)
        return None

    def _create(self, connection: Connection, name: str, plan: str, item: PlanItem) -> Correction:
        now = self._clock.now()
        row = row_of(item) | {"id": name, "plan": plan, "state": _C.PLANNED, "reason": "lacking"}
        fresh = {"created": now, "changed": now, "owner": None, "fence": 0, "due": None, "failures": 0}
        connection.execute(_CREATING, row | fresh)
        self._tell(
            connection, f"correction:{name}", _C.PLANNED, {"plan": plan, "amount_wei": str(item.amount)}
        )
        return get_correction(connection, name)

    def _new_attempt(self, connection: Connection, found: Correction, request: Request) -> Attempt:
        number = last_number(connection, found.id) + 1
        row = row_of(request) | {
            "correction": found.id,
            "number": number,
            "state": _A.SENDING,
            "run_id": self._sender.run_id,
            "owner": self._sender.owner,
            "fence": found.fence,
            "account": found.account,
            "amount": found.amount,
            "memo": memo_of(found.kind, found.namespace, found.id, number),
        }
        connection.execute(_ATTEMPTING, row)
        told = {"memo": row["memo"], "build": request.build, "balance_before": str(request.balance_before)}
        self._tell(connection, f"attempt:{found.id}.{number}", _A.SENDING, told)
        begun = live_attempt(connection, found.id)
        if begun is None:
            raise LedgerContradiction(f"attempt {found.id}.{number} was not written")
        return begun

    def _refuse_over(self, connection: Connection, found: Correction, ceiling: Ceiling) -> None:
        names, wei = reserved_in_run(connection, self._sender.run_id)
        if len(names | {found.id}) > ceiling.corrections_per_run:
            raise NotNow("over_corrections_per_run")
        if wei + found.amount > ceiling.wei_per_run:
            raise NotNow("over_ucred_per_run")
        if reserved_in_a_day(connection, self._clock.now()) + found.amount > ceiling.wei_per_day:
            raise NotNow("over_ucred_per_day")

    def _conclude_open(
        self, connection: Connection, attempt: Attempt, answer: Answer, due: datetime | None, *, last: bool
    ) -> None:
        found = get_correction(connection, attempt.correction)
        is_doubt = found.state is not _C.SENDING
        if is_doubt and answer.effect is Effect.IN_DOUBT:
            return
        state, after = _AFTER[answer.effect]
        reason = str(answer.kind)
        if answer.effect is Effect.NOT_APPLIED and not is_doubt:
            if answer.kind in NEVER_AGAIN:
                after = _C.REFUSED
            elif last:
                after, reason = _C.REFUSED, ATTEMPTS_EXHAUSTED
        self._move_attempt(connection, attempt, state, answer.kind)
        failures = 0 if after is _C.CONFIRMED else found.failures + 1
        self._change(connection, found, after, reason, due=due, failures=failures)
        if answer.new_balance is not None:
            _mirror_balance(connection, attempt, answer, self._clock.now())
        mark_groups(connection, [attempt.account])

    def _write_answer(
        self, connection: Connection, attempt: Attempt, answer: Answer, duration: timedelta
    ) -> None:
        what_came = {
            "finished": self._clock.now(),
            "answer": answer.kind,
            "http_status": answer.http_status,
            "duration_us": duration // timedelta(microseconds=1),
            "new_balance": answer.new_balance,
            "state_root": answer.state_root,
        }
        connection.execute(_ANSWERING, what_came | _which(attempt))

    def _doubt(self, connection: Connection, found: Correction) -> None:
        attempt = live_attempt(connection, found.id)
        if attempt is None:
            raise LedgerContradiction(f"correction {found.id} is sending without an attempt")
        self._move_attempt(connection, attempt, _A.IN_DOUBT, "sender_stopped")
        self._change(connection, found, _C.IN_DOUBT, "sender_stopped")
        mark_groups(connection, [found.account])

    def _contradict(self, connection: Connection, attempt: Attempt, how: str) -> None:
        """What was held to have had no effect had one after all: nothing is sure any more."""
        self._move_attempt(connection, attempt, _A.CONTRADICTION, f"{how.replace(' ', '_')}_after_all")
        mark_groups(connection, [attempt.account])
        told = f"attempt {attempt.name} was settled as not applied and then {how}"
        raise_hold(connection, HoldKind.CONTRADICTION, self._signed(told))

    def _move_attempt(
        self,
        connection: Connection,
        attempt: Attempt,
        state: AttemptState,
        reason: str,
        signed: Signed | None = None,
    ) -> None:
        connection.execute(_MOVING, {"state": state, **_which(attempt)})
        self._tell(connection, f"attempt:{attempt.name}", state, {"reason": reason}, signed)

    def _change(
        self,
        connection: Connection,
        found: Correction,
        state: CorrectionState,
        reason: str,
        *,
        signed: Signed | None = None,
        **others: Any,
    ) -> Correction:
        changed = {"state": state, "reason": reason, "changed": self._clock.now(), "due": None, **others}
        connection.execute(_CHANGING, {"of": found.id, **changed})
        told = {"reason": reason, "from": found.state}
        self._tell(connection, f"correction:{found.id}", state, told, signed)
        return get_correction(connection, found.id)

    def _tell(
        self,
        connection: Connection,
        subject: str,
        event: str,
        told: dict[str, Any],
        signed: Signed | None = None,
    ) -> None:
        actor = signed.actor if signed else self._sender.actor
        where = {"run": self._sender.run_id} if signed is None else {}
        record(connection, Entry(self._clock.now(), actor, subject, event, told | where))

    def _signed(self, reason: str) -> Signed:
        return Signed(self._sender.actor, self._clock.now(), reason)


_AFTER: Final = {
    Effect.APPLIED: (_A.APPLIED, _C.CONFIRMED),
    Effect.NOT_APPLIED: (_A.NOT_APPLIED, _C.PLANNED),
    Effect.IN_DOUBT: (_A.IN_DOUBT, _C.IN_DOUBT),
}


def _claimed_by_another_kind(connection: Connection, item: PlanItem) -> bool:
    others = corrections_in_epoch(connection, item.payment_intent, item.epoch)
    return any(other.kind is not item.kind and other.state not in NO_CREDIT for other in others)


def _fenced(connection: Connection, claimed: Correction) -> Correction:
    found = get_correction(connection, claimed.id)
    if found.state is not _C.CLAIMED or found.fence != claimed.fence:
        raise NotNow("claim_lost")
    return found


def _is_read_back(found: Correction) -> bool:
    """Whether a log could prove this credit: its memo and account come back as they were written."""
    memo = read_memo(memo_of(found.kind, found.namespace, found.id, 1))
    named = memo is not None and (memo.namespace, memo.correction) == (found.namespace, found.id)
    return named and is_plain(found.namespace) and is_plain(found.account)


def _refuse_claim(connection: Connection, found: Correction, now: datetime) -> None:
    """Check, in the claim's own transaction, that the purchase is still judged as lacking."""
    if found.state is not _C.PLANNED:
        raise NotNow(f"already_{found.state}")
    if found.due is not None and found.due > now:
        raise NotNow("waiting_to_retry")
    if open_holds(connection):
        raise NotNow("held")
    if _verdict_of_owed(connection, found) != Verdict.LACKING:
        raise NotNow("no_longer_lacking")
    if is_busy(connection, found.account):
        raise NotNow("account_busy")


def _verdict_of_owed(connection: Connection, found: Correction) -> str | None:
    """The verdict about a purchase of which nothing is known that would deny it its credit.

    What another run has read since it was judged, as a refund, is judged first: until then NotNow is raised.
    """
    which = {"payment_intent": found.payment_intent}
    row = connection.execute(_PURCHASE, which).first()
    if row is None:
        raise NotNow("no_longer_lacking")
    if (row.account, row.namespace, row.entitlement) != (found.account, found.namespace, found.amount):
        raise NotNow(PURCHASE_CHANGED)
    if not row.owed or connection.execute(_MARKED, which).first() is not None:
        raise NotNow("evidence_changed")
    verdict: str | None = row.verdict
    return verdict


def _which(attempt: Attempt) -> dict[str, Any]:
    return {"of": attempt.correction, "attempt": attempt.number}


def _mirror_balance(connection: Connection, attempt: Attempt, answer: Answer, now: datetime) -> None:
    row = {
        "account": attempt.account,
        "wei": answer.new_balance,
        "began": now,
        "root": answer.state_root,
    }
    upsert(connection, balances, [row])
