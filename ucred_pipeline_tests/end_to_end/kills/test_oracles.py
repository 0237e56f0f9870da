"""What looks after each kill notices what must never happen."""

from datetime import timedelta

import httpx
from sqlalchemy import select

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.ledger.schema import attempts
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.kills.oracles import doubled, lost, violations
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal


def send(world: Rehearsal, account: str, memo: str) -> None:
    """Credit behind the ledger's back."""
    body = {"asset": "UCRED", "account": account, "amount_wei": str(WEI_PER_UCRED), "memo": memo}
    body["operator_token"] = world.variables["RUST_L1_ADMIN_TOKEN"]
    httpx.post(f"{world.sandbox.indexer_base}/admin/credit", json=body, trust_env=False).raise_for_status()


def test_what_looks_for_doubles_finds_one(rehearse: Rehearse) -> None:
    """A credit that is sent a second time is a double, and one that nobody wrote ahead is found as well."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0.05)
    (owed,) = world.sandbox.truth.to_credit.values()
    assert lost(world) == [f"{owed.account} lacks 1"]
    world.reconcile()
    assert (violations(world), lost(world)) == ([], [])
    (credit,) = world.sandbox.http_credits

    send(world, owed.account, credit.memo)

    assert len(doubled(world)) == 2
    assert violations(world) == doubled(world)
    send(world, "acct:user:stranger@example.com", "correction:1.x:0123456789abcdef.1")
    assert any("without being written ahead" in found for found in violations(world))


def test_what_looks_for_claims_finds_a_receipt_without_a_credit(rehearse: Rehearse) -> None:
    """A receipt for a credit that the indexer does not have is a false claim."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0.05)
    world.reconcile()

    world.sandbox.world.indexer.credits.clear()

    assert any("is said to have had an effect" in found for found in violations(world))


def test_what_looks_for_claims_finds_a_credit_that_was_ruled_out(rehearse: Rehearse) -> None:
    """A request that was settled as without effect, and then takes effect after all, is a false claim."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0.05)
    (owed,) = world.sandbox.truth.to_credit.values()
    world.sandbox.faults.set("indexer-drop-before", account=owed.account, times=1)
    world.reconcile()
    with world.ledger() as ledger, ledger.read() as connection:
        memo = connection.execute(select(attempts.c.memo)).scalar_one()
    world.later(timedelta(minutes=30))
    world.reconcile(apply=False)
    assert violations(world) == []

    send(world, owed.account, memo)

    assert any("is said to have had no effect" in found for found in violations(world))
