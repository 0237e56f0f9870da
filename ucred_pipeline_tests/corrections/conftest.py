"""A world for each test of crediting."""

import pytest

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline_tests.conftest import FakeClock
from ucred_pipeline_tests.corrections.small_indexer import SmallIndexer
from ucred_pipeline_tests.corrections.world import World


@pytest.fixture
def world(sqlite_ledger: Ledger, clock: FakeClock) -> World:
    """A world on SQLite, for what does not depend on the database."""
    return World(sqlite_ledger, clock, SmallIndexer(clock))


@pytest.fixture
def any_world(ledger: Ledger, clock: FakeClock) -> World:
    """A world on each database in turn."""
    return World(ledger, clock, SmallIndexer(clock))
