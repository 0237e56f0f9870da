"""A verdict that was right while a purchase was young is looked at again when its grace period is over."""

from datetime import timedelta

from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

HOUR = timedelta(hours=1)


def tell_of_a_mint(world: Rehearsal, payment_intent: str) -> None:
    """The payments API writes that it minted, as it does where it credits another indexer than ours."""
    found, at = world.sandbox.truth.purchases[payment_intent], f"{world.clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
    told = f"Minted 1 UCRED for {found.account} (namespace: {found.namespace})"
    with (world.sandbox.folder / "payments.log").open("a", encoding="utf-8") as log:
        log.write(f"{at}  INFO payments_api: ✅ {told}\n")


def test_a_certificate_that_is_credited_and_never_paid(plain: Rehearsal) -> None:
    """What was credited before it was paid is unpaid, and a break, once the payment is overdue."""
    bought = plain.sandbox.purchase("unpaid_abandoned")
    plain.sandbox.credit(bought)
    plain.later()
    plain.reconcile()
    early = plain.verdict(bought)

    plain.later(HOUR)
    plain.reconcile()

    assert (early, plain.verdict(bought)) == (("credited", "log_line"), ("unpaid", "unpaid_after_credit"))


def test_a_mint_that_the_complete_log_of_the_indexer_does_not_show(plain: Rehearsal) -> None:
    """A mint that the payments API alone tells of does not pass for a credit."""
    bought = plain.sandbox.purchase("lacking_unconfigured")
    tell_of_a_mint(plain, bought)
    plain.later()
    plain.reconcile()

    plain.later(HOUR)
    plain.reconcile()

    assert plain.verdict(bought) == ("ambiguous", "minted_not_in_log")


def test_a_mint_that_a_later_balance_denies(plain: Rehearsal) -> None:
    """Without the indexer's log, a mint as young as the balance is held against a later balance."""
    del plain.variables["UCRED_INDEXER_LOG"]
    bought = plain.sandbox.purchase("lacking_unconfigured")
    plain.later(timedelta(minutes=2))
    tell_of_a_mint(plain, bought)
    plain.reconcile()

    plain.later()
    plain.reconcile()

    assert plain.verdict(bought) == ("ambiguous", "balance_below_proven")
