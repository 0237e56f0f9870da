"""The official library works against the sandbox unchanged."""

from collections.abc import Iterator

import pytest
import stripe

from ucred_pipeline.sandbox import Sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[stripe.StripeClient]:
    """The library, pointed at the sandbox."""
    stripe.enable_telemetry = False
    http = stripe.RequestsClient()
    yield stripe.StripeClient(sandbox.spec.key, base_addresses={"api": sandbox.stripe_base}, http_client=http)
    http.close()  # type: ignore[no-untyped-call]


def test_auto_paging(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    """Auto-paging over expanded payments finds all of them."""
    pages = client.v1.payment_intents.list({"limit": 20, "expand": ["data.latest_charge"]})

    intents = list(pages.auto_paging_iter())

    assert {intent.id for intent in intents} == set(sandbox.truth.purchases)
    charges = [intent.latest_charge for intent in intents if intent.latest_charge is not None]
    assert all(isinstance(charge, stripe.Charge) for charge in charges)


def test_retrieve(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    """One payment can be read by its id, with its charge."""
    bought = sandbox.purchase()

    intent = client.v1.payment_intents.retrieve(bought, {"expand": ["latest_charge"]})

    assert isinstance(intent.latest_charge, stripe.Charge)
    assert (intent.status, intent.latest_charge.payment_intent) == ("succeeded", bought)


def test_events_and_filters(client: stripe.StripeClient) -> None:
    """Lists of types and bounds of time arrive as the library writes them."""
    events = client.v1.events.list({"types": ["charge.refunded"], "created": {"gte": 0}, "limit": 100})

    assert {event.type for event in events.data} == {"charge.refunded"}


def test_errors(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    """The library recognises each kind of error."""
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent") as missing:
        client.v1.payment_intents.retrieve("pi_gone")
    assert (missing.value.code, missing.value.http_status) == ("resource_missing", 404)
    sandbox.faults.set("stripe-forbid", "refunds")
    with pytest.raises(stripe.PermissionError, match="rak_charge_read"):
        client.v1.refunds.list()
    sandbox.faults.set("stripe-rate-limit", 0)
    with pytest.raises(stripe.RateLimitError):
        client.v1.balance.retrieve()
    sandbox.faults.set("stripe-unauthorized")
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        client.v1.balance.retrieve()
    sandbox.faults.set("stripe-error", 500)
    with pytest.raises(stripe.APIError):
        client.v1.balance.retrieve()
