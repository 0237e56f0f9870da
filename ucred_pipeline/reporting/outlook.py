"""What will be done about a purchase, why it is not done yet, and what a person can do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ucred_pipeline.domain.corrections import ACTIVE, Correction, CorrectionState
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.verdicts import Reason, Verdict
from ucred_pipeline.ledger.correction_rows import find_corrections
from ucred_pipeline.ledger.corrections import ATTEMPTS_EXHAUSTED
from ucred_pipeline.ledger.plans import PlanState
from ucred_pipeline.ledger.runs import Run, last_run
from ucred_pipeline.ledger.safety import Breaker, Hold, current_epoch, open_holds, read_breaker
from ucred_pipeline.reporting.purchase_file import PurchaseFile, SeenPlan
from ucred_pipeline.reporting.wording import at, quoted, span, ucred
from ucred_pipeline.settings import Rules

RECONCILE: Final = "ucred reconcile --apply"
RELEASE: Final = "ucred release --reason TEXT --by NAME"


@dataclass(frozen=True, slots=True)
class Step:
    """What a person can do: a command to type, and what it does."""

    command: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a credit is not sent: `reason` for programs, `says` for people."""

    reason: str
    says: str

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True, slots=True)
class Outlook:
    """What will be done, what keeps it back, and what a person can do."""

    will: str
    why_not: Sequence[Refusal] = ()
    steps: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """What holds for every purchase alike."""

    now: datetime
    rules: Rules
    epoch: int
    holds: Sequence[Hold]
    breaker: Breaker
    under_way: Mapping[str, Correction]
    last_run: Run | None


def read_situation(connection: Connection, now: datetime, rules: Rules) -> Situation:
    """Read what holds for every purchase alike; `under_way` has the active correction of an account."""
    return Situation(
        now=now,
        rules=rules,
        epoch=current_epoch(connection),
        holds=open_holds(connection),
        breaker=read_breaker(connection),
        under_way={one.account: one for one in find_corrections(connection, states=ACTIVE)},
        last_run=last_run(connection, now),
    )


def outlook(file: PurchaseFile, situation: Situation) -> Outlook:
    """Say what will be done about a purchase, and what keeps it back."""
    if file.purchase.verdict is None:
        return Outlook("The next run judges it.", steps=[Step(RECONCILE, "runs now")])
    verdict = Verdict(file.purchase.verdict)
    if verdict in _OPEN:
        return _OPEN[verdict](file, situation)
    if verdict is Verdict.WITHDRAWN and file.open_break is None:
        return Outlook("Nothing: no credit is owed.")
    return Outlook(_NOTHING_TO_SEND[verdict])


_NOTHING_TO_SEND: Final = {
    Verdict.CREDITED: "Nothing: it is settled.",
    Verdict.FOREIGN: "Nothing: it is counted, and earns no UCRED.",
    Verdict.WITHDRAWN: (
        "Nothing is sent, and nothing is taken back: the pipeline never debits. The break stays open, so "
        "that finance sees it."
    ),
    Verdict.UNISSUED: (
        "Nothing is credited before there is a certificate. Have the payments API issue it, or give the "
        "money back in Stripe; the next run sees either."
    ),
    Verdict.UNPAID: (
        "Nothing is credited without a payment. Look in Stripe for the payment, and in the payments API "
        "for why the certificate was issued."
    ),
    Verdict.OVER_CREDITED: (
        "Nothing is sent, and nothing is taken back: the pipeline never debits. Who credited what stands "
        "in the timeline."
    ),
}


def _pending(file: PurchaseFile, situation: Situation) -> Outlook:
    due, grace = file.purchase.due_since, situation.rules.grace
    if file.purchase.reason == Reason.WITHIN_GRACE and due is not None:
        told = (
            f"It is judged once its grace period of {span(grace)} is over, at {at(due + grace)} UTC: until "
            "then the payments API may still credit it."
        )
        return Outlook(told)
    return Outlook(
        "It is judged again by every run, until what is missing has been read.",
        steps=[Step(RECONCILE, "reads everything anew now")],
    )


def _lacking(file: PurchaseFile, situation: Situation) -> Outlook:
    found = _open_correction(file, situation)
    kept_back = [*_kept_back(file, found, situation)] or [*_last_run(situation.last_run)]
    if found is not None and found.state is CorrectionState.REFUSED:
        return _exhausted(file) if found.reason == ATTEMPTS_EXHAUSTED else _refused(file)
    credit = f"{ucred(file.purchase.entitlement)} to {file.purchase.account}"
    if found is not None and found.state in ACTIVE:
        return Outlook(f"A run is sending {credit} now.", kept_back)
    steps = [*_lever(file, situation)] or [Step(RECONCILE, "sends it now, if nothing keeps it back")]
    return Outlook(f"The next run that may send credits {credit}.", kept_back, steps)


def _exhausted(file: PurchaseFile) -> Outlook:
    told = "Nothing by itself: every attempt failed, each provably without an effect."
    if file.open_break is None:
        return Outlook(told)
    again = f"ucred resolve {file.open_break.id} --as not-credited --reason TEXT --by NAME"
    return Outlook(told, steps=[Step(again, "has it sent again, once the cause is put right")])


def _refused(file: PurchaseFile) -> Outlook:
    by_hand = f"ucred credit {quoted(str(file.purchase.namespace))} --reason TEXT --by NAME --apply"
    return Outlook(
        "Nothing by itself: the indexer refused the credit, and would refuse the same request again.",
        steps=[Step(by_hand, "sends it as support's own credit, once the cause is put right")],
    )


def _in_doubt(file: PurchaseFile, situation: Situation) -> Outlook:
    found = _open_correction(file, situation)
    request = file.attempts_of(found)[-1] if found and file.attempts_of(found) else None
    if found is None or request is None:
        return Outlook("The next run asks the evidence again; nothing is sent meanwhile.")
    asked = request.began + timedelta(seconds=situation.rules.corrections.quarantine_after_s)
    told = (
        "Every run asks the log and the balance again, and never sends again before it is settled. "
        f"That the credit is not there counts only after {at(request.settles_after)} UTC. If nothing "
        f"settles it, a person is asked from {at(asked)} UTC on."
    )
    if found.state is CorrectionState.QUARANTINED:
        told = "A person settles it: the evidence did not in time. Until then nothing is sent to the account."
    return Outlook(told, steps=_decisions(file, not_before=request.settles_after))


def _ambiguous(file: PurchaseFile, _situation: Situation) -> Outlook:
    told = "Nothing until a person decides: the evidence cannot."
    return Outlook(told, steps=_decisions(file))


def _decisions(file: PurchaseFile, not_before: datetime | None = None) -> list[Step]:
    found = file.open_break
    if found is None:
        return []
    after = f" (from {at(not_before)} UTC on)" if not_before else ""
    command = f"ucred resolve {found.id} --as {{}} --reason TEXT --by NAME"
    return [
        Step(command.format("credited"), "the credit is there: nothing is sent"),
        Step(command.format("not-credited"), f"it is not there: the next run sends it{after}"),
    ]


def _open_correction(file: PurchaseFile, situation: Situation) -> Correction | None:
    """The correction of this epoch that stands for the purchase: the newest."""
    of_epoch = [found for found in file.corrections if found.epoch == situation.epoch]
    return of_epoch[-1] if of_epoch else None


def _kept_back(file: PurchaseFile, found: Correction | None, situation: Situation) -> Iterator[Refusal]:
    """Every reason for which the credit has not been sent."""
    for hold in situation.holds:
        told = f"A hold has been in force since {at(hold.raised)} UTC ({_words(hold.kind)}): {hold.detail}"
        yield Refusal(f"held_{hold.kind}", told)
    if (plan := withheld_plan(file)) is not None:
        over = ", ".join(map(_words, plan.over))
        told = f"Plan {plan.hash[:12]} is withheld ({over}): a person must approve it."
        yield Refusal("plan_withheld", told)
    if situation.breaker.token_refused:
        told = "The indexer refused RUST_L1_ADMIN_TOKEN; a run sends again once a good one is set."
        yield Refusal("token_refused", told)
    if found is not None:
        yield from _was_not_sent(found, situation)
    yield from _account_is_busy(file, found, situation)


def _was_not_sent(found: Correction, situation: Situation) -> Iterator[Refusal]:
    """Why the correction came back when it was last taken up."""
    if found.due is not None and found.due > situation.now:
        told = f"It failed {found.failures} times; it is tried again from {at(found.due)} UTC on."
        yield Refusal("waiting_to_retry", told)
    if found.state is CorrectionState.PLANNED and found.reason in _DROPPED_OUT:
        yield Refusal(found.reason, _DROPPED_OUT[found.reason])


#: What a run found when it took up a correction and gave it back, by the reason that the ledger keeps.
_DROPPED_OUT: Final = {
    "evidence_changed": "When it was taken up, the balance was not the one it was judged on.",
    "within_grace": "When it was taken up, the payments API might still have credited it.",
    "purchase_changed": "When it was taken up, the purchase was not as planned any more.",
    "memo_unreadable": "Its namespace or account could not be read back from the indexer's log.",
    "anchor_missing": "The epoch's anchor was not acknowledged yet; the next run tries another.",
    "indexer_unreachable": "The indexer could not be reached before anything was sent.",
    "indexer_forgot": "The indexer did not hold what it had acknowledged.",
    "unknown_build": "The indexer names a build that nobody has reviewed.",
    "clocks_disagree": "The indexer's clock and ours do not agree.",
    "token_unproved": "The token could not be proved.",
    "over_corrections_per_run": "The run was at its limit of corrections.",
    "over_ucred_per_run": "The run was at its limit of UCRED.",
    "over_ucred_per_day": "The day's limit of UCRED was reached.",
    "sender_stopped": "The run that had taken it up stopped before it sent anything.",
    "never_sent": "It did not leave this machine.",
}


def _account_is_busy(file: PurchaseFile, found: Correction | None, situation: Situation) -> Iterator[Refusal]:
    other = situation.under_way.get(str(file.purchase.account))
    if other is not None and other.id != (found.id if found else None):
        state = _words(other.state)
        told = f"Another correction of the account is {state} ({other.namespace}): one goes at a time."
        yield Refusal("account_busy", told)


def _last_run(run: Run | None) -> Iterator[Refusal]:
    if run is not None and run.outcome is Outcome.RUNNING:
        yield Refusal("run_under_way", f"A run has been under way since {at(run.began)} UTC.")
    elif run is not None and run.finished is not None and not run.applied and run.summary:
        told = f"The last run, at {at(run.finished)} UTC, only planned: it was not given --apply."
        yield Refusal("only_planned", told)
    elif run is not None and run.detail and run.outcome is not Outcome.DONE:
        told = " ".join(run.detail.split())
        yield Refusal(f"run_{run.outcome}", f"The last run ended as {_words(run.outcome)}: {told}")


def _words(name: str) -> str:
    return name.replace("_", " ")


def withheld_plan(file: PurchaseFile) -> SeenPlan | None:
    """The newest plan that names the purchase, where it waits for an approval."""
    newest = file.plans[-1] if file.plans else None
    return newest if newest is not None and newest.state == PlanState.WITHHELD else None


def _lever(file: PurchaseFile, situation: Situation) -> Iterator[Step]:
    """What frees the credit, where something holds it."""
    if situation.holds:
        yield Step(RELEASE, "releases every hold, after its cause was looked into")
    plan = withheld_plan(file)
    if plan is not None:
        yield Step(f"ucred approve {plan.hash[:12]} --by NAME", "lifts the limits for this plan alone")
        yield Step(RECONCILE, "carries it out")


_OPEN: Final[Mapping[Verdict, Callable[[PurchaseFile, Situation], Outlook]]] = {
    Verdict.PENDING: _pending,
    Verdict.LACKING: _lacking,
    Verdict.IN_DOUBT: _in_doubt,
    Verdict.AMBIGUOUS: _ambiguous,
}
