"""Refunds that made no event are found by their own list."""

import asyncio
from datetime import timedelta
from pathlib import Path

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.sandbox import Sandbox, SandboxSpec
from ucred_pipeline.sources.stripe import StripeAccess, StripeSource


def test_an_old_payment_that_was_refunded_now_is_named(tmp_path: Path) -> None:
    """A refund names its payment, however long ago that was created."""
    clock = SystemClock()
    with Sandbox(SandboxSpec(purchases=20, special_cases=False), folder=tmp_path) as sandbox:
        before = clock.now() - timedelta(seconds=5)
        oldest = min(sandbox.truth.purchases)
        sandbox.refund(oldest)

        async def read() -> frozenset[str]:
            access = StripeAccess(sandbox.spec.key, sandbox.stripe_base)
            async with StripeSource(access, clock) as stripe:
                return await stripe.reversed_since(before)

        assert frozenset({oldest}) == asyncio.run(read())
