"""The databases on which runs are killed."""

import signal

import pytest

from ucred_pipeline_tests.end_to_end.conftest import plain, rehearse
from ucred_pipeline_tests.end_to_end.kills.campaign import Database

__all__ = ["plain", "rehearse"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each database in turn."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    return Database(request.getfixturevalue("postgresql") if request.param == "postgresql" else None)
