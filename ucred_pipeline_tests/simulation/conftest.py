"""The schedules take longest, most of them in one file: they come first, and nobody waits for them last."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder before all others."""
    items.sort(key=lambda item: Path(__file__).parent not in item.path.parents)
