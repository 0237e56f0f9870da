"""Support's manual mint: one purchase, through the same guards as any correction."""

from dataclasses import replace
from uuid import uuid4

from ucred_pipeline.corrections.planning import plan_alone
from ucred_pipeline.domain.corrections import CorrectionState, PlanItem
from ucred_pipeline.domain.memos import CorrectionKind
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.correction_rows import corrections_of
from ucred_pipeline.ledger.corrections import CorrectionBook, Sender
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.purchases import Days, JudgedPurchase, find_purchases, lacking_items
from ucred_pipeline.ledger.safety import Signed
from ucred_pipeline.ledger.schema import purchases
from ucred_pipeline.orchestration.crediting import Credited, carry_out, would_credit
from ucred_pipeline.orchestration.judgement import judge_marked
from ucred_pipeline.orchestration.pipeline import Pipeline


class CannotCredit(Exception):
    """This purchase is not one that may be credited; the message says why, and what to do."""


def credit(pipeline: Pipeline, namespace: str, signed: Signed, *, apply: bool) -> Credited:
    """Plan, and with `apply` send, the credit of one purchase that lacks it."""
    judge_marked(pipeline)
    item = replace(_item(pipeline, namespace), kind=CorrectionKind.MANUAL)
    run_id = f"manual-{uuid4()}"
    planned = plan_alone(pipeline.ledger, pipeline.clock, pipeline.planning_rules(), item, run_id)
    if not apply:
        return would_credit(pipeline, planned)
    _make_manual(pipeline, item, run_id, signed)
    credited = carry_out(pipeline, run_id, planned)
    judge_marked(pipeline)
    return credited


def _item(pipeline: Pipeline, namespace: str) -> PlanItem:
    with pipeline.ledger.read() as connection:
        found = find_purchases(connection, purchases.c.namespace == namespace)
        lacking = {item.payment_intent: item for item in lacking_items(connection, Days())}
    chosen = [lacking[one.payment_intent] for one in found if one.payment_intent in lacking]
    if len(chosen) == 1:
        return chosen[0]
    raise CannotCredit(_why_not(namespace, found, len(chosen)))


def _why_not(namespace: str, found: list[JudgedPurchase], lacking: int) -> str:
    if not found:
        return f"no purchase of the namespace {namespace} is known; run `ucred reconcile` to read it"
    if lacking > 1:
        return f"{lacking} purchases of {namespace} lack their UCRED; see `ucred explain {namespace}`"
    if any(one.verdict == Verdict.LACKING for one in found):
        return (
            f"{namespace} has a correction that was refused, or is under way. A refused one is sent "
            f"again after `ucred resolve BREAK --as not-credited`. See `ucred explain {namespace}`"
        )
    told = ", ".join(f"{one.verdict or 'not judged yet'} ({one.reason or 'new'})" for one in found)
    settle = " A person settles it first with `ucred resolve`." if _needs_person(found) else ""
    return f"{namespace} is not lacking: {told}.{settle} See `ucred explain {namespace}`"


def _needs_person(found: list[JudgedPurchase]) -> bool:
    return any(one.verdict in {Verdict.AMBIGUOUS, Verdict.IN_DOUBT} for one in found)


def _make_manual(pipeline: Pipeline, item: PlanItem, run_id: str, signed: Signed) -> None:
    """Put the pipeline's own planned correction aside, and keep who asked for this credit and why."""
    with pipeline.ledger.write() as connection:
        told = {"namespace": item.namespace, "reason": signed.reason, "run": run_id}
        record(
            connection,
            Entry(signed.at, signed.actor, f"purchase:{item.payment_intent}", "manual_credit", told),
        )
        planned = [
            found
            for found in corrections_of(connection, item.payment_intent)
            if found.state is CorrectionState.PLANNED and found.kind is not CorrectionKind.MANUAL
        ]
    book = CorrectionBook(pipeline.ledger, pipeline.clock, Sender(run_id, run_id, signed.actor))
    for found in planned:
        book.withdraw(found.id, CorrectionState.CANCELLED, "support_credits_instead")
