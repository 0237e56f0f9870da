"""Stripe read from the sandbox: what was read is what is there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from ucred_pipeline.domain.payments import Dispute, Payment
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline.sources.stripe import SETTLING, StripeAccess, StripeSource, Window

T = TypeVar("T")


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Six hundred purchases with every case."""
    with Sandbox(SandboxSpec(purchases=600)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Iterator[Sandbox]:
    """The same world, with its faults cleared afterwards."""
    yield world
    world.faults.clear()


def reading(sandbox: Sandbox, read: Callable[[StripeSource], Awaitable[T]]) -> T:
    """Run one read in a loop of its own."""

    async def run() -> T:
        access = StripeAccess(sandbox.spec.key, sandbox.stripe_base, requests_per_second=1e6, pause_s=0.001)
        async with StripeSource(access) as source:
            return await read(source)

    return asyncio.run(run())


def everything(sandbox: Sandbox) -> dict[str, Payment]:
    """Sweep from the oldest payment up to a minute ago."""
    payments: list[Payment] = []

    async def sweep(source: StripeSource) -> None:
        since = await source.oldest()
        assert since is not None
        until = (datetime.now(UTC) - SETTLING).replace(microsecond=0)
        await source.sweep(Window(since, until), lambda _, closed: payments.extend(closed))

    reading(sandbox, sweep)
    assert len({payment.id for payment in payments}) == len(payments)
    return {payment.id: payment for payment in payments}


def test_every_payment_is_read_as_it_is(sandbox: Sandbox) -> None:
    """Amounts, refunds and disputes are those that the sandbox keeps."""
    account = sandbox.world.stripe
    settled = datetime.now(UTC) - SETTLING
    payments = everything(sandbox)

    for payment in payments.values():
        intent = account.intents.get(payment.id)
        assert intent is not None
        charge = account.charges.get(intent.charge or "")
        assert (payment.status, payment.receipt_email) == (intent.status, intent.email)
        assert payment.received == (intent.amount if payment.succeeded else 0)
        assert payment.refunded == (charge.amount_refunded if charge else 0)
        assert (payment.dispute is not Dispute.NONE) == (charge is not None and charge.disputed)
    known = {
        name for name in sandbox.truth.purchases if account.intent(name).created < settled.timestamp() - 1
    }
    assert known <= payments.keys()
    assert any(payment.fully_refunded for payment in payments.values())
    assert any(payment.dispute.withdraws for payment in payments.values())


def test_reading_by_id_agrees_with_the_sweep(sandbox: Sandbox) -> None:
    """A payment is the same whether it was listed or named."""
    payments = everything(sandbox)

    read = reading(sandbox, lambda source: source.payments(payments))

    assert read.unknown == frozenset()
    assert {payment.id: payment for payment in read.payments} == payments


def test_events_name_what_has_changed(sandbox: Sandbox) -> None:
    """Each PaymentIntent that any event of the time is about is named."""
    moment = datetime.now(UTC) - timedelta(days=20)
    until = (datetime.now(UTC) - SETTLING).timestamp()

    changed = reading(sandbox, lambda source: source.changed_since(moment))

    touched = {
        payment.id
        for payment in everything(sandbox).values()
        if payment.succeeded and payment.paid and moment < payment.paid
    }
    assert touched
    assert {name for name in touched if sandbox.world.stripe.intent(name).created < until - 600} <= changed


def test_preflight_passes_with_the_key_of_the_sandbox(sandbox: Sandbox) -> None:
    """Every endpoint that is used is there."""
    reading(sandbox, lambda source: source.preflight())


@pytest.mark.parametrize("resource", ["payment_intents", "charges", "refunds", "disputes", "events"])
def test_a_forbidden_resource_is_named(sandbox: Sandbox, resource: str) -> None:
    """The missing permission is named as the dashboard names it."""
    sandbox.faults.set("stripe-forbid", resource)

    with pytest.raises(SourceUnreadable, match=r"HTTP 403.: \w+( and Refunds)?: read \(rak_"):
        reading(sandbox, lambda source: source.preflight())


@pytest.mark.parametrize("fault", ["stripe-error", "stripe-truncated", "stripe-rate-limit"])
def test_a_stormy_stripe_is_read_whole(sandbox: Sandbox, fault: str) -> None:
    """With every fifth answer broken, the same payments are read."""
    calm = everything(sandbox)
    if fault == "stripe-rate-limit":
        sandbox.faults.set(fault, "0", probability=0.2)
    else:
        sandbox.faults.set(fault, probability=0.2)

    assert everything(sandbox) == calm
