"""What the pipeline concludes and credits is what the world knows to be true."""

from collections import Counter

from ucred_pipeline.sandbox import PurchaseTruth
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal

NEVER = frozenset({"withdrawn", "pending", "unissued", "unpaid", "foreign", "ambiguous", "over_credited"})


def verdicts_differ(world: Rehearsal, *, after_crediting: bool) -> list[tuple[str, object, object]]:
    """Name every purchase whose verdict is not the true one: case, truth, conclusion."""
    judged = world.judged()
    wrong: list[tuple[str, object, object]] = []
    for truth in world.sandbox.truth.purchases.values():
        wanted = _wanted(truth, after_crediting=after_crediting)
        found = judged.get(truth.payment_intent)
        if (wanted is None) != (found is None) or (found and wanted != found.verdict):
            wrong.append((truth.case, wanted, found and (found.verdict, found.reason)))
    return wrong


def _wanted(truth: PurchaseTruth, *, after_crediting: bool) -> str | None:
    wanted = truth.verdict_with_logs
    return "credited" if after_crediting and wanted == "lacking" else wanted


def never_to_be_credited(world: Rehearsal) -> set[str]:
    """The namespaces to which nothing may be sent."""
    truth = world.sandbox.truth
    return {
        found.namespace
        for found in truth.purchases.values()
        if found.namespace and not found.should_be_credited
    } - {found.namespace for found in truth.to_credit.values() if found.namespace}


def lacking_by_account(world: Rehearsal) -> Counter[str]:
    """Wei that balances alone prove to be lacking, by account."""
    accounts = world.sandbox.truth.accounts.values()
    return Counter({found.account: found.lacking_wei for found in accounts if found.lacking_wei})


def check_by_purchase(world: Rehearsal) -> None:
    """Plan, credit, and come back a quarter of an hour later, with the logs at hand."""
    owed = world.owed()

    planned = world.reconcile(apply=False)
    assert (planned.code, planned.err, world.sandbox.http_credits) == (0, "", ())
    assert verdicts_differ(world, after_crediting=False) == []
    credited = world.reconcile()

    assert (credited.code, credited.err) == (0, "")
    assert credited.document["corrections"] == {
        "planned": len(owed),
        "confirmed": len(owed),
        "refused": 0,
        "in_doubt": 0,
        "held": 0,
    }
    assert world.sent() == owed
    assert set(world.sent()).isdisjoint(never_to_be_credited(world))
    assert verdicts_differ(world, after_crediting=True) == []
    world.later()
    assert world.reconcile().document["corrections"]["planned"] == 0
    assert world.sent() == owed


def check_by_account(world: Rehearsal) -> None:
    """The same where balances are all the evidence that there is."""
    lacking = lacking_by_account(world)

    credited = world.reconcile()

    assert (credited.code, credited.err) == (0, "")
    assert world.sent_to() == lacking
    assert set(world.sent()).isdisjoint(_plainly_never(world))
    judged = world.judged()
    wrong = [
        (truth.case, truth.verdict_without_logs, found.verdict, found.reason)
        for truth in world.sandbox.truth.purchases.values()
        if (found := judged.get(truth.payment_intent)) and _is_wrong(truth, found.verdict)
    ]
    assert wrong == []
    world.later()
    assert world.reconcile().document["corrections"]["planned"] == 0
    assert world.sent_to() == lacking


def _plainly_never(world: Rehearsal) -> set[str]:
    found = world.sandbox.truth.purchases.values()
    return {truth.namespace for truth in found if truth.namespace and truth.verdict_without_logs in NEVER}


def _is_wrong(truth: PurchaseTruth, verdict: str | None) -> bool:
    wanted = truth.verdict_without_logs
    return wanted is not None and verdict != ("credited" if wanted == "lacking" else wanted)


def test_two_thousand_purchases_of_every_case(rehearse: Rehearse) -> None:
    """With logs the credits that took effect are the true ones, each once, and a second run sends nothing."""
    check_by_purchase(rehearse(NO_LIMITS, purchases=2000, lost_answers=1))


def test_two_thousand_purchases_without_logs(rehearse: Rehearse) -> None:
    """Without logs each account is credited exactly what its balance proves to be lacking, once."""
    check_by_account(rehearse(NO_LIMITS, purchases=2000, logs=False))
