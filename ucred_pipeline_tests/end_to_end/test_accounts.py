"""Accounts are byte for byte, their purchases are judged together, and amounts are exact."""

from datetime import timedelta

import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import NO_LIMITS, Rehearsal

DAY = timedelta(days=1)
ADDRESSES = (
    "nora+ucred@example.com",
    "black&white=b@example.com",
    "50%41off@example.com",
    "Otto.Brandt@Example.com",
    "zoë.müller@exämple.com",
    '"memo=a b"@example.com',
    "slash/and?query#mark@example.com",
)
#: Certificates that earn more wei than 64 bits hold.
RICH = """
limits = { ucred_per_run = "1000000000", ucred_per_day = "1000000000" }
rewards = [
  { type = "namespace", ucred = "123456789.000000000000000001" },
  { type = "friends_and_family", ucred = 1 },
  { type = "nil", ucred = 1 },
]
"""


def account(address: str) -> str:
    """The account of an address."""
    return f"acct:user:{address}"


@pytest.mark.parametrize("logs", [True, False])
def test_an_old_missing_credit_behind_a_new_one(rehearse: Rehearse, *, logs: bool) -> None:
    """An old purchase that was never credited, beside a new one that was, is owed one credit."""
    world = rehearse(purchases=40, lacking_share=0, special_cases=False, logs=logs)
    world.sandbox.purchase("lacking_unconfigured", email="old@example.com", age=60 * DAY)
    world.sandbox.purchase("credited", email="old@example.com", age=DAY)

    said = world.reconcile()

    assert said.document["corrections"]["confirmed"] == 1
    assert world.sent_to() == {account("old@example.com"): WEI_PER_UCRED}
    assert world.balance(account("old@example.com")) == 2 * WEI_PER_UCRED
    world.later()
    assert world.reconcile().document["corrections"]["planned"] == 0


def test_an_old_missing_credit_is_found_by_a_run_of_one_day(plain: Rehearsal) -> None:
    """The days asked for limit what is planned; judging still sees every purchase of an account."""
    old = plain.sandbox.purchase("lacking_unconfigured", email="old@example.com", age=60 * DAY)
    new = plain.sandbox.purchase("credited", email="old@example.com", age=DAY)
    day = f"{plain.clock.now() - 60 * DAY:%Y-%m-%d}"

    said = plain.reconcile("--from", day, "--to", day)

    assert said.document["corrections"]["confirmed"] == 1
    assert plain.sent() == plain.owed()
    assert (plain.verdict(old), plain.verdict(new)) == (("credited", "receipt"), ("credited", "log_line"))


@pytest.mark.parametrize("logs", [True, False])
def test_more_than_64_bits_hold(rehearse: Rehearse, *, logs: bool) -> None:
    """Balances beyond 9.22 UCRED, and beyond 2^64 wei, are exact to the wei, and so is what is sent."""
    world = rehearse(NO_LIMITS, purchases=30, lacking_share=0, special_cases=False, logs=logs)
    for number in range(25):
        case = "lacking_timed_out" if number % 3 == 0 else "credited"
        world.sandbox.purchase(case, email="whale@example.com", age=(number + 2) * DAY)
    whale = account("whale@example.com")
    assert world.balance(whale) == 16 * WEI_PER_UCRED

    said = world.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, 9)
    assert world.sent_to() == {whale: 9 * WEI_PER_UCRED}
    assert world.balance(whale) == 25 * WEI_PER_UCRED > 2**64
    world.later()
    assert world.reconcile().document["corrections"]["planned"] == 0


def test_one_wei_too_little(rehearse: Rehearse) -> None:
    """A balance of 20 UCRED less one wei does not cover 20 purchases: one of them is in question."""
    world = rehearse(NO_LIMITS, purchases=0, special_cases=False, logs=False)
    for number in range(20):
        world.sandbox.purchase("credited", email="nearly@example.com", age=(number + 2) * DAY)
    world.sandbox.debit(account("nearly@example.com"), 1)

    verdicts = world.reconcile(apply=False).document["verdicts"]

    assert (verdicts["credited"], verdicts["lacking"] + verdicts["ambiguous"]) == (19, 1)


def test_a_reward_of_more_than_64_bits(rehearse: Rehearse) -> None:
    """A reward that no 64-bit integer holds arrives to the wei."""
    world = rehearse(RICH, purchases=0, special_cases=False)
    world.sandbox.purchase("lacking_restarted", email="rich@example.com", age=2 * DAY)

    assert world.reconcile().code == 0
    assert world.balance(account("rich@example.com")) == 123456789_000000000000000001


@pytest.mark.parametrize("logs", [True, False])
def test_addresses_byte_for_byte(rehearse: Rehearse, *, logs: bool) -> None:
    """Each address is one account, whatever letters it has: what it lacks arrives there and nowhere else."""
    world = rehearse(NO_LIMITS, purchases=20, lacking_share=0, special_cases=False, logs=logs)
    for address in ADDRESSES:
        world.sandbox.purchase("credited", email=address, age=3 * DAY)
        world.sandbox.purchase("lacking_wrong_token", email=address, age=2 * DAY)

    said = world.reconcile()

    assert (said.code, said.document["corrections"]["confirmed"]) == (0, len(ADDRESSES))
    assert world.sent_to() == {account(address): WEI_PER_UCRED for address in ADDRESSES}
    assert {world.balance(account(address)) for address in ADDRESSES} == {2 * WEI_PER_UCRED}


@pytest.mark.parametrize("logs", [True, False])
def test_addresses_that_differ_in_case_only(rehearse: Rehearse, *, logs: bool) -> None:
    """Addresses that differ in capitals are two accounts: the one that lacks is credited, the other not."""
    world = rehearse(purchases=40, lacking_share=0, special_cases=False, logs=logs)
    world.sandbox.purchase("credited", email="Mara.Voss@example.com", age=3 * DAY)
    world.sandbox.purchase("lacking_indexer_down", email="mara.voss@example.com", age=2 * DAY)

    assert world.reconcile().code == 0

    assert world.sent_to() == {account("mara.voss@example.com"): WEI_PER_UCRED}
    assert world.balance(account("Mara.Voss@example.com")) == WEI_PER_UCRED
    assert world.balance(account("mara.voss@example.com")) == WEI_PER_UCRED


def test_a_top_up_hides_what_lacks_from_balances_and_not_from_the_log(rehearse: Rehearse) -> None:
    """A top-up covers a missing credit where there are balances only; with the log it is found."""
    for logs, sent in ((True, 1), (False, 0)):
        world = rehearse(purchases=40, lacking_share=0, special_cases=False, logs=logs)
        bought = world.sandbox.purchase("lacking_indexer_down", email="topped@example.com", age=2 * DAY)
        world.sandbox.top_up(account("topped@example.com"), WEI_PER_UCRED)

        said = world.reconcile()

        assert said.document["corrections"]["confirmed"] == sent
        if not logs:
            assert world.verdict(bought) == ("credited", "top_ups_unknown")


@pytest.mark.parametrize(
    "given, verdict",
    [
        (WEI_PER_UCRED // 10, ("ambiguous", "credited_in_part")),
        (10 * WEI_PER_UCRED, ("over_credited", "credited_twice")),
        (WEI_PER_UCRED + 1, ("over_credited", "credited_twice")),
        (2**127, ("over_credited", "credited_twice")),
    ],
)
def test_a_credit_of_another_amount(plain: Rehearsal, given: int, verdict: tuple[str, str]) -> None:
    """Who was given another amount than a purchase earns, under its name, is before a person."""
    bought = plain.sandbox.purchase("lacking_indexer_down", age=2 * DAY)
    plain.sandbox.credit(bought, wei=given)

    plain.reconcile()

    assert (plain.verdict(bought), plain.sandbox.http_credits) == (verdict, ())
    (found,) = plain.ucred("breaks", "--format", "json").document["breaks"]
    assert (found["payment_intent"], found["reason"]) == (bought, verdict[1])


def test_any_credit_of_what_earns_nothing(rehearse: Rehearse) -> None:
    """What earns nothing was credited too much by any amount."""
    rules = RICH.replace("123456789.000000000000000001", "0")
    world = rehearse(rules, purchases=0, special_cases=False)
    bought = world.sandbox.purchase("lacking_indexer_down", age=2 * DAY)
    world.sandbox.credit(bought, wei=WEI_PER_UCRED // 3)

    world.reconcile()

    assert world.verdict(bought) == ("over_credited", "credited_without_reward")


def test_the_rest_of_a_credit_in_part(plain: Rehearsal) -> None:
    """What was given in parts is credited once the parts come to what it earns, and to no more."""
    bought = plain.sandbox.purchase("lacking_indexer_down", age=2 * DAY)
    for part in (4, 6):
        plain.sandbox.credit(bought, wei=part * WEI_PER_UCRED // 10)

    plain.reconcile()

    assert (plain.verdict(bought), plain.sandbox.http_credits) == (("credited", "log_line"), ())


def test_a_credit_in_part_hides_no_other(plain: Rehearsal) -> None:
    """A part of one purchase's credit is taken for no other purchase of its account."""
    lacking, partly = (
        plain.sandbox.purchase("lacking_indexer_down", email="old@example.com", age=days * DAY)
        for days in (5, 2)
    )
    for part in (4, 3):
        plain.sandbox.credit(partly, wei=part * WEI_PER_UCRED // 10)

    plain.reconcile()

    assert plain.verdict(lacking)[0] == "credited"
    assert plain.sent_to() == {account("old@example.com"): WEI_PER_UCRED}
    assert plain.verdict(partly) == ("ambiguous", "credited_in_part")
