"""Carries plans out: settles doubts, issues what may be issued, and says why the rest was not."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from ucred_pipeline.corrections.issuing import Issued, Issuer
from ucred_pipeline.corrections.planning import Planned, plan_corrections, plan_retries, withdraw_settled
from ucred_pipeline.corrections.resolving import Resolver
from ucred_pipeline.corrections.settling import Settled, Settler
from ucred_pipeline.domain.corrections import AttemptState, PlanItem
from ucred_pipeline.ledger.correction_rows import states_of_run
from ucred_pipeline.ledger.corrections import PURCHASE_CHANGED, CorrectionBook, Sender
from ucred_pipeline.ledger.errors import TooEarly
from ucred_pipeline.ledger.plans import Plan, PlanState
from ucred_pipeline.ledger.purchases import Days, lacking_items
from ucred_pipeline.ledger.reads import ALWAYS_NEEDED, Source, was_read_whole
from ucred_pipeline.ledger.safety import Hold, HoldKind, Signed, open_epoch, open_holds, release_holds
from ucred_pipeline.ledger.sender_lock import ANOTHER_SENDER, AnotherSender, sole_sender
from ucred_pipeline.orchestration import interrupts
from ucred_pipeline.orchestration.judgement import log_proof
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.orchestration.reading import read_evidence
from ucred_pipeline.settings import AnchorKind
from ucred_pipeline.sources.errors import SourceUnreadable

_RENAMED: Final = (
    "a purchase has another account or name than when its correction was planned, which keeps what it was "
    "planned for; where it lacks, `ucred breaks` has it: send it with ucred credit NAMESPACE --apply"
)
#: Why an item drops out that is not what it was when it was planned.
_DROPPED: Final = "evidence_changed"


@dataclass(frozen=True, slots=True)
class Credited:
    """What became of a run's corrections, and what kept the rest back.

    `dropped` is the commonest reason of those that their own evidence kept back: that is no hold.
    """

    planned: int = 0
    confirmed: int = 0
    refused: int = 0
    in_doubt: int = 0
    held: int = 0
    hold: str | None = None
    advice: str = ""
    dropped: str | None = None


def book_of(pipeline: Pipeline, run_id: str, actor: str = "pipeline") -> CorrectionBook:
    """The corrections, in the hand of this process."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    anchors = pipeline.settings.rules.corrections.anchor is AnchorKind.ACCOUNT
    return CorrectionBook(pipeline.ledger, pipeline.clock, Sender(owner, run_id, actor, anchors))


def resolver_of(pipeline: Pipeline, run_id: str, actor: str) -> Resolver:
    """A person's hand on the breaks."""
    rules = pipeline.settings.rules
    book = book_of(pipeline, run_id, actor)
    return Resolver(pipeline.ledger, book, rules.grace, rules.evidence.debits_possible)


def settle(pipeline: Pipeline, run_id: str) -> Settled:
    """Ask the evidence about every doubt; does nothing while another run is sending."""
    book = book_of(pipeline, run_id)
    try:
        with sole_sender(pipeline.ledger):
            book.sweep_silent()
    except AnotherSender:
        return Settled()
    return Settler(pipeline.ledger, book, pipeline.clock, pipeline.settling_rules()).settle(log_proof)


def plan(pipeline: Pipeline, run_id: str, days: Days) -> Planned:
    """Plan a credit for everything that lacks within the days."""
    withdraw_settled(pipeline.ledger, book_of(pipeline, run_id))
    return plan_corrections(pipeline.ledger, pipeline.clock, pipeline.planning_rules(), days, run_id)


def plan_again(pipeline: Pipeline, run_id: str) -> Planned:
    """Plan again what was provably not applied and is due."""
    withdraw_settled(pipeline.ledger, book_of(pipeline, run_id))
    return plan_retries(pipeline.ledger, pipeline.clock, pipeline.planning_rules(), run_id)


def carry_out(pipeline: Pipeline, run_id: str, planned: Planned) -> Credited:
    """Issue what may be issued, and settle at once what the log already tells of the doubtful ones."""
    refusal = _refusal(pipeline)
    if refusal is not None:
        return Credited(
            planned.corrections, held=planned.corrections, hold=refusal.kind, advice=refusal.advice
        )
    try:
        with sole_sender(pipeline.ledger):
            issued = _issue(pipeline, run_id, planned.plans)
    except AnotherSender as error:
        kept = planned.corrections
        return Credited(kept, held=kept, hold=ANOTHER_SENDER, advice=str(error))
    if issued.in_doubt:
        _settle_at_once(pipeline, run_id)
    return _came_to(pipeline, run_id, planned, issued)


def _came_to(pipeline: Pipeline, run_id: str, planned: Planned, issued: Issued) -> Credited:
    """Count what the run's own attempts have come to by now; whatever was planned and not sent is held."""
    with pipeline.ledger.read() as connection:
        states = states_of_run(connection, run_id)
    limits = _over_limits(planned)
    held = planned.corrections - issued.confirmed - issued.refused - issued.in_doubt
    hold = issued.stopped or limits.hold or (PURCHASE_CHANGED if issued.not_sent[PURCHASE_CHANGED] else None)
    commonest = next((reason for reason, _ in issued.not_sent.most_common(1)), _DROPPED)
    return Credited(
        planned=planned.corrections,
        confirmed=states[AttemptState.APPLIED],
        refused=issued.refused + states[AttemptState.RESOLVED_NOT_APPLIED],
        in_doubt=states[AttemptState.IN_DOUBT],
        held=held,
        hold=hold,
        advice=issued.advice or limits.advice or (_RENAMED if hold == PURCHASE_CHANGED else ""),
        dropped=commonest if held and hold is None else None,
    )


def release(pipeline: Pipeline, signed: Signed, *, new_epoch: bool) -> list[Hold]:
    """Release every hold, after a new epoch was opened if the old state is lost; raise TooEarly."""
    with pipeline.ledger.write() as connection:
        for hold in open_holds(connection):
            if hold.kind is HoldKind.RESTORED:
                _refuse_before_it_was_read(pipeline, connection, hold)
        if new_epoch:
            open_epoch(connection, signed)
        return release_holds(connection, signed)


def _refuse_before_it_was_read(pipeline: Pipeline, connection: Connection, hold: Hold) -> None:
    """What was credited since a copy was made shows only in reads after nothing more can act."""
    rules = pipeline.issuing_rules()
    since = hold.raised + rules.send_deadline + rules.quiescence
    unread = [source for source in _needed(pipeline) if not was_read_whole(connection, source, since)]
    if unread:
        raise TooEarly(
            "this ledger is a copy, and what was credited since must be read first: run `ucred reconcile` "
            f"after {since:%Y-%m-%d %H:%M:%S} UTC, and look at `ucred breaks`. "
            f"Not read since then: {', '.join(unread)}"
        )


def would_credit(pipeline: Pipeline, planned: Planned) -> Credited:
    """What a run that may not send comes to."""
    with pipeline.ledger.read() as connection:
        holds = open_holds(connection)
    if holds:
        kept = planned.corrections
        return Credited(kept, held=kept, hold=holds[0].kind, advice=_told(holds[0]))
    return _over_limits(planned)


def _told(hold: Hold) -> str:
    """Say why nothing is sent, and where it says how to go on: a reason alone may be a word."""
    return f"{hold.raised_by}: {hold.detail.removesuffix('.')}. `ucred status` says what to do"


def _over_limits(planned: Planned) -> Credited:
    withheld = planned.withheld
    if withheld is None:
        return Credited(planned.corrections)
    advice = f"approve it with: ucred approve {withheld.hash[:12]} --by NAME"
    hold = ", ".join(withheld.over)
    return Credited(planned.corrections, held=len(withheld.items), hold=hold, advice=advice)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why nothing at all may be sent."""

    kind: str
    advice: str


def _refusal(pipeline: Pipeline) -> _Refusal | None:
    """A hold in force, or sources whose last read was not whole, or is too old to act on."""
    oldest = pipeline.clock.now() - timedelta(seconds=pipeline.settings.rules.corrections.evidence_age_s)
    with pipeline.ledger.read() as connection:
        holds = open_holds(connection)
        stale = [source for source in _needed(pipeline) if not was_read_whole(connection, source, oldest)]
    if holds:
        return _Refusal(holds[0].kind, _told(holds[0]))
    if stale:
        told = f"the last read of {', '.join(stale)} was not whole, or is too old; run: ucred reconcile"
        return _Refusal("sources_stale", told)
    return None


def _needed(pipeline: Pipeline) -> list[Source]:
    """What must have been read whole, and lately, before anything is sent: every source there is."""
    environment = pipeline.settings.environment
    logs = {
        Source.INDEXER_LOG: environment.ucred_indexer_log,
        Source.PAYMENTS_LOG: environment.ucred_payments_log,
    }
    return [*ALWAYS_NEEDED, *(source for source, pattern in logs.items() if pattern)]


def _issue(pipeline: Pipeline, run_id: str, plans: Sequence[Plan]) -> Issued:
    book = book_of(pipeline, run_id)
    book.sweep_silent()
    accepted = [found for one in plans for found in book.accept(one.hash, _still_lacking(pipeline, one))]
    if not accepted:
        return Issued()
    approved = frozenset(one.hash for one in plans if one.state is PlanState.APPROVED)
    issuer = Issuer(pipeline.ledger, book, pipeline.door(), pipeline.clock, pipeline.issuing_rules())
    return interrupts.run(issuer.issue(accepted, approved, _Counter(pipeline)))


def _still_lacking(pipeline: Pipeline, one: Plan) -> list[PlanItem]:
    """The items of a plan that lack now as they did; an item that changed drops out."""
    with pipeline.ledger.read() as connection:
        lacking = {item.payment_intent: item for item in lacking_items(connection, Days())}
    return [
        item
        for item in one.items
        if (found := lacking.get(item.payment_intent)) is not None
        and (found.account, found.amount, found.epoch) == (item.account, item.amount, item.epoch)
    ]


@dataclass(slots=True)
class _Counter:
    """Tells of each correction that is done."""

    pipeline: Pipeline
    count: int = 0

    def __call__(self) -> None:
        self.count += 1
        self.pipeline.progress("corrections done", self.count)


def _settle_at_once(pipeline: Pipeline, run_id: str) -> None:
    """What the log does not tell now the next run asks again: the credits are sent, and stay in doubt."""
    with suppress(SourceUnreadable):
        read_evidence(pipeline, run_id)
        settle(pipeline, run_id)
