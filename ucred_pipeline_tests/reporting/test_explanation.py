"""All that is known of a purchase, by any of its names."""

import json
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select

from ucred_pipeline.domain.accounts import USER_PREFIX
from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.purchases import JudgedPurchase, find_purchases
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold, release_holds
from ucred_pipeline.ledger.schema import attempts, corrections, payments, purchases
from ucred_pipeline.reporting.breaks import document
from ucred_pipeline.reporting.explanation import Explanation, as_json, explain, render
from ucred_pipeline_tests.reporting.worlds import World, shown, words

NOW = SystemClock().now


def find(world: World, name: str) -> Explanation | None:
    """Look a name up."""
    with world.pipeline.ledger.read() as connection:
        return explain(connection, name, NOW(), world.pipeline.settings.rules)


def explained(world: World, name: str) -> Explanation:
    """Look a name up that is known."""
    found = find(world, name)
    assert found is not None
    return found


def purchases_in(world: World, condition: ColumnElement[bool]) -> list[JudgedPurchase]:
    """Read purchases."""
    with world.pipeline.ledger.read() as connection:
        return find_purchases(connection, condition)


def having(world: World, verdict: Verdict) -> JudgedPurchase:
    """Give the first purchase with a verdict."""
    return purchases_in(world, purchases.c.verdict == verdict)[0]


def lost(world: World) -> str:
    """Name the purchase whose answer was lost."""
    with world.pipeline.ledger.read() as connection:
        chosen = select(corrections.c.payment_intent).join(
            attempts, (attempts.c.correction == corrections.c.id) & (attempts.c.answer == "no_answer")
        )
        return str(connection.execute(chosen.limit(1)).scalar_one())


def test_every_name_leads_to_it(world: World) -> None:
    """PaymentIntent, namespace, account, address and break all find the same purchase."""
    with world.pipeline.ledger.read() as connection:
        opened = document(connection, Verdict.UNPAID, NOW())["breaks"][0]
    names = [opened["payment_intent"], opened["namespace"], opened["account"], opened["id"]]

    for name in [*names, opened["account"].removeprefix(USER_PREFIX), f" {opened['namespace']}\n"]:
        found = [each.file.purchase.payment_intent for each in explained(world, name).purchases]
        assert opened["payment_intent"] in found


def test_an_account_gives_all_its_purchases(world: World) -> None:
    """An address with several purchases gives every one of them, the oldest first."""
    account = world.sandbox.truth.of_case("many_purchases_lacking")[0].account
    expected = [one.payment_intent for one in purchases_in(world, purchases.c.account == account)]
    found = explained(world, account.removeprefix(USER_PREFIX))

    assert [each.file.purchase.payment_intent for each in found.purchases] == expected
    assert f"{len(expected)} purchases go by this name" in shown(render(found))


def test_other_capitals(world: World) -> None:
    """An address in capitals that nobody has finds the one in others, and says so."""
    account = having(world, Verdict.UNPAID).account
    assert account is not None
    found = explained(world, account.removeprefix(USER_PREFIX).upper())

    assert not found.exact
    assert "Nothing is named exactly" in shown(render(found))


def test_unknown(world: World) -> None:
    """A name that nothing has gives nothing."""
    assert find(world, "nobody@example.com") is None


def test_a_payment_that_is_no_purchase(world: World) -> None:
    """A payment that was abandoned is known, and said to be no purchase."""
    with world.pipeline.ledger.read() as connection:
        bought = select(purchases.c.payment_intent)
        chosen = select(payments.c.payment_intent).where(payments.c.payment_intent.not_in(bought))
        name = str(connection.execute(chosen.limit(1)).scalar_one())
    found = explained(world, name)

    assert not found.purchases
    assert [other.payment_intent for other in found.others] == [name]
    assert "no purchase" in shown(render(found))


def test_a_lost_answer_from_payment_to_credit(world: World) -> None:
    """The timeline tells payment, certificate, request, doubt and settlement in the order of time."""
    events = explained(world, lost(world)).purchases[0].timeline
    told = [event.told for event in events]
    milestones = [
        "The customer began to pay",
        "succeeded.",
        "The certificate was issued",
        "Found as lacking",
        "Joined plan",
        "was sent; the account held",
        "No answer came back",
        "Settled by the indexer's log",
        "The break was resolved",
    ]
    places = [next(place for place, text in enumerate(told) if one in text) for one in milestones]

    assert places == sorted(places)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert any("credited 1 UCRED" in event.told for event in events if event.source == "indexer log")


def test_a_correction_tells_its_requests(world: World) -> None:
    """Memo, answer and balances of each request are shown, amounts exact."""
    found = explained(world, lost(world))
    text = words(render(found))
    attempt = found.purchases[0].file.attempts[0]

    assert attempt.memo in text
    assert "no answer" in text
    assert "1 UCRED (1000000000000000000 wei)" in text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_is_explained(world: World, withheld: World, doubtful: World, verdict: Verdict) -> None:
    """Each verdict says what it means and what will be done, within 80 columns."""
    where = {Verdict.LACKING: withheld, Verdict.IN_DOUBT: doubtful}.get(verdict, world)
    found = explained(where, having(where, verdict).payment_intent)
    text = shown(render(found))

    assert max(map(len, text.splitlines())) <= 80
    assert verdict.value.replace("_", " ").upper() in text
    assert "What will be done" in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_narrow_and_wide(world: World, width: int) -> None:
    """It is readable on narrow terminals as well."""
    text = shown(render(explained(world, lost(world))), width)

    assert max(map(len, text.splitlines())) <= width


def test_withheld(withheld: World) -> None:
    """A purchase whose plan is withheld says so, and how to approve it."""
    found = explained(withheld, having(withheld, Verdict.LACKING).payment_intent)
    text = words(render(found))

    assert "over corrections per run" in text
    assert f"ucred approve {withheld.run.summary['plan'][:12]} --by NAME" in text


def test_held(withheld: World) -> None:
    """A hold in force is a reason, and its release is what a person can do."""
    with withheld.pipeline.ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, Signed("Kim", NOW(), "the indexer is being moved"))
    text = words(render(explained(withheld, having(withheld, Verdict.LACKING).payment_intent)))
    with withheld.pipeline.ledger.write() as connection:
        release_holds(connection, Signed("Kim", NOW(), "it was moved"))

    assert "the indexer is being moved" in text
    assert "ucred release --reason TEXT --by NAME" in text


def test_in_doubt(doubtful: World) -> None:
    """A doubt says when absence counts, when a person is asked, and how to settle it."""
    found = explained(doubtful, having(doubtful, Verdict.IN_DOUBT).payment_intent)
    told, text = found.purchases[0], words(render(found))
    opened = told.file.open_break
    assert opened is not None

    assert f"{told.file.attempts[-1].settles_after:%Y-%m-%d %H:%M:%S}" in text
    assert f"ucred resolve {opened.id} --as credited --reason TEXT --by NAME" in text
    assert f"ucred resolve {opened.id} --as not-credited --reason TEXT --by NAME" in text


def test_pending_says_when(world: World) -> None:
    """What is pending says when its grace period ends."""
    found = explained(world, having(world, Verdict.PENDING).payment_intent)
    ends = found.purchases[0].grace_ends
    assert ends is not None

    assert f"at {ends:%Y-%m-%d %H:%M:%S} UTC" in words(render(found))


def amounts(value: Any) -> list[Any]:
    """Collect every amount of wei in a document."""
    if isinstance(value, dict):
        own = [told for name, told in value.items() if name.endswith("wei") and told is not None]
        return own + [found for told in value.values() for found in amounts(told)]
    return [found for told in value for found in amounts(told)] if isinstance(value, list) else []


def test_json(world: World) -> None:
    """The document is JSON; amounts are strings, times are UTC, attempts stand with their correction."""
    found = json.loads(json.dumps(as_json(explained(world, lost(world)))))
    purchase = found["purchases"][0]

    assert all(amount.isdigit() for amount in amounts(found))
    assert purchase["payment_intent"] == lost(world)
    assert purchase["verdict"] == "credited"
    assert purchase["corrections"][0]["attempts"][0]["answer"] == "no_answer"
    assert purchase["corrections"][0]["state"] == "confirmed"
    assert all(event["at"].endswith("Z") for event in purchase["timeline"])
    assert purchase["payment"]["status"] == "succeeded"
    assert purchase["outlook"]["will"]


def test_every_purchase_can_be_explained(world: World) -> None:
    """No case of the sandbox breaks the document or the layout."""
    for purchase in purchases_in(world, purchases.c.payment_intent.is_not(None)):
        found = explained(world, purchase.payment_intent)
        json.dumps(as_json(found))
        assert purchase.payment_intent in shown(render(found))
