"""Sandboxes to ask, and a clock that tests can move."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from ucred_pipeline.sandbox import Sandbox, SandboxSpec

NOW = datetime(2026, 2, 3, 12, 0, 0, 250_000, tzinfo=UTC)


class MovableClock:
    """Stands still until a test moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never step back, for deadlines."""
        return time.monotonic()

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by


@pytest.fixture
def clock() -> MovableClock:
    """A clock at a known moment."""
    return MovableClock()


@pytest.fixture
def sandbox(tmp_path: Path, clock: MovableClock) -> Iterator[Sandbox]:
    """A small world of its own for one test, in a folder with spaces."""
    spec = SandboxSpec(purchases=0, lost_answers=0)
    with Sandbox(spec, folder=tmp_path / "a world", clock=clock) as running:
        yield running


@pytest.fixture(scope="module")
def default_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox as it comes, shared by tests that only read."""
    folder = tmp_path_factory.mktemp("the default world")
    with Sandbox(folder=folder, clock=MovableClock()) as running:
        yield running


@pytest.fixture
def indexer(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A plain client of the indexer of one test."""
    with httpx.Client(base_url=sandbox.indexer_base, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def stripe_api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A plain client of the Stripe of one test."""
    headers = {"Authorization": f"Bearer {sandbox.spec.key}"}
    with httpx.Client(base_url=sandbox.stripe_base, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def default_stripe(default_world: Sandbox) -> Iterator[httpx.Client]:
    """A plain client of the Stripe of the sandbox as it comes."""
    headers = {"Authorization": f"Bearer {default_world.spec.key}"}
    base = default_world.stripe_base
    with httpx.Client(base_url=base, headers=headers, timeout=10, trust_env=False) as client:
        yield client
