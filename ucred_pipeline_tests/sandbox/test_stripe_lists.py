"""Stripe's lists as Stripe keeps them: newest first, by cursors, filtered by time."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ucred_pipeline.sandbox import Sandbox
from ucred_pipeline_tests.sandbox.conftest import NOW, MovableClock

Row = dict[str, Any]


def page(client: httpx.Client, path: str, **params: str | int) -> dict[str, Any]:
    """One page of a list."""
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def walk(client: httpx.Client, path: str, **params: str | int) -> list[Row]:
    """All pages of a list."""
    rows: list[Row] = []
    while True:
        cursor = {"starting_after": rows[-1]["id"]} if rows else {}
        answer = page(client, path, limit=37, **params, **cursor)
        rows += answer["data"]
        if not answer["has_more"]:
            return rows


@pytest.mark.parametrize("path", ["payment_intents", "charges", "refunds", "disputes", "events"])
def test_newest_first_and_each_once(default_stripe: httpx.Client, path: str) -> None:
    """A walk by cursors gives every row once, and the times never rise."""
    rows = walk(default_stripe, f"/v1/{path}")

    times = [row["created"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert len({row["id"] for row in rows}) == len(rows) > 0


def test_a_walk_finds_every_payment(default_world: Sandbox, default_stripe: httpx.Client) -> None:
    """The list has what the truth has, foreign and abandoned payments included."""
    rows = walk(default_stripe, "/v1/payment_intents")

    assert {row["id"] for row in rows} == set(default_world.truth.purchases)


def test_ten_is_the_default_limit(default_stripe: httpx.Client) -> None:
    """Without a limit there are ten rows and more to come."""
    answer = page(default_stripe, "/v1/payment_intents")

    assert (len(answer["data"]), answer["has_more"]) == (10, True)
    assert (answer["object"], answer["url"]) == ("list", "/v1/payment_intents")


def test_ending_before_walks_back(default_stripe: httpx.Client) -> None:
    """The page before a row is the one that led to it."""
    path = "/v1/payment_intents"
    first = page(default_stripe, path, limit=5)["data"]
    second = page(default_stripe, path, limit=5, starting_after=first[-1]["id"])["data"]

    back = page(default_stripe, path, limit=5, ending_before=second[0]["id"])

    assert ([row["id"] for row in back["data"]], back["has_more"]) == ([row["id"] for row in first], False)


def test_created_bounds(default_stripe: httpx.Client) -> None:
    """The four bounds, and an exact second, cut where they say."""
    path = "/v1/payment_intents"
    rows = walk(default_stripe, path)
    at = rows[50]["created"]

    def seconds(**params: str | int) -> list[int]:
        return [row["created"] for row in walk(default_stripe, path, **params)]

    everything = [row["created"] for row in rows]
    assert seconds(**{"created[gt]": at}) == [second for second in everything if second > at]
    assert seconds(**{"created[gte]": at}) == [second for second in everything if second >= at]
    assert seconds(**{"created[lt]": at}) == [second for second in everything if second < at]
    assert seconds(**{"created[lte]": at}) == [second for second in everything if second <= at]
    assert seconds(created=at) == [second for second in everything if second == at]


def test_expansion(default_stripe: httpx.Client) -> None:
    """A charge is an id, or the charge itself where it was asked for, with its refunds if wanted."""
    plain = page(default_stripe, "/v1/payment_intents", limit=100)["data"]
    query: dict[str, Any] = {"limit": 100, "expand[]": ["data.latest_charge", "data.latest_charge.refunds"]}
    expanded = default_stripe.get("/v1/payment_intents", params=query).json()["data"]

    ids = [row["latest_charge"] for row in plain]
    charges = [row["latest_charge"] for row in expanded]
    assert ids == [charge["id"] if charge else None for charge in charges]
    assert any(charge["refunds"]["data"] for charge in charges if charge)


def test_refunds_and_disputes_of_one_payment(default_world: Sandbox, default_stripe: httpx.Client) -> None:
    """Lists can be narrowed to a payment or a charge."""
    (parts,) = default_world.truth.of_case("withdrawn_refunded_in_two_parts")
    (lost,) = default_world.truth.of_case("withdrawn_dispute_lost_credited")

    refunds = page(default_stripe, "/v1/refunds", payment_intent=parts.payment_intent)["data"]
    disputes = page(default_stripe, "/v1/disputes", payment_intent=lost.payment_intent)["data"]
    charges = page(default_stripe, "/v1/charges", payment_intent=parts.payment_intent)["data"]
    by_charge = page(default_stripe, "/v1/refunds", charge=charges[0]["id"])["data"]

    assert [refund["status"] for refund in refunds] == ["succeeded", "succeeded"]
    assert by_charge == refunds
    assert (charges[0]["refunded"], charges[0]["amount_refunded"]) == (True, charges[0]["amount"])
    assert [dispute["status"] for dispute in disputes] == ["lost"]


def test_failed_and_partial_refunds(default_world: Sandbox, default_stripe: httpx.Client) -> None:
    """A refund that failed gives nothing back, and a partial one leaves the charge unrefunded."""
    truth = default_world.truth
    for case, refunded in (("owed_refund_failed", False), ("owed_partial_refund", True)):
        (purchase,) = truth.of_case(case)
        (charge,) = page(default_stripe, "/v1/charges", payment_intent=purchase.payment_intent)["data"]

        assert charge["refunded"] is False
        assert (charge["amount_refunded"] > 0) is refunded


def test_events_by_type(default_stripe: httpx.Client) -> None:
    """Events can be chosen by type, and carry the object as it was."""
    kinds = ["payment_intent.created", "charge.refunded"]
    query: dict[str, Any] = {"types[]": kinds, "limit": 100}
    events = default_stripe.get("/v1/events", params=query).json()["data"]

    assert {event["type"] for event in events} == set(kinds)
    created = [event["data"]["object"] for event in events if event["type"] == "payment_intent.created"]
    assert {intent["status"] for intent in created} == {"requires_payment_method"}


def test_events_live_thirty_days(sandbox: Sandbox, stripe_api: httpx.Client, clock: MovableClock) -> None:
    """What is older than thirty days is gone from the events, and not from the lists."""
    before = walk(stripe_api, "/v1/events")
    clock.move(timedelta(days=20))

    after = walk(stripe_api, "/v1/events")

    assert min(event["created"] for event in after) >= (NOW - timedelta(days=10)).timestamp()
    assert 0 < len(after) < len(before)
    assert len(walk(stripe_api, "/v1/payment_intents")) == len(sandbox.truth.purchases)


def test_events_may_be_late(sandbox: Sandbox, stripe_api: httpx.Client, clock: MovableClock) -> None:
    """An event appears after its object, in its place by time."""
    sandbox.faults.set("stripe-late-events", 60)
    bought = sandbox.purchase()

    def subjects() -> set[str]:
        return {event["data"]["object"]["id"] for event in walk(stripe_api, "/v1/events")}

    assert stripe_api.get(f"/v1/payment_intents/{bought}").status_code == 200
    assert bought not in subjects()
    clock.move(timedelta(seconds=61))
    assert bought in subjects()


def test_rows_that_arrive_during_a_walk(sandbox: Sandbox, stripe_api: httpx.Client) -> None:
    """A new row does not shift a walk that is under way."""
    first = page(stripe_api, "/v1/payment_intents", limit=5)["data"]
    expected = page(stripe_api, "/v1/payment_intents", limit=5, starting_after=first[-1]["id"])["data"]
    sandbox.purchase()

    second = page(stripe_api, "/v1/payment_intents", limit=5, starting_after=first[-1]["id"])["data"]

    assert second == expected
    assert page(stripe_api, "/v1/payment_intents", limit=1)["data"][0] not in first


def test_the_balance_is_a_cheap_question(stripe_api: httpx.Client) -> None:
    """Whoever wants to try a key can ask for the balance."""
    assert page(stripe_api, "/v1/balance")["object"] == "balance"
