"""Runs in the ledger: which of them is the newest."""

from datetime import timedelta

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.runs import last_run
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.reporting import troubles

FAR = timedelta(days=300)


def test_the_newest_run_has_begun_and_ended(ledger: Ledger) -> None:
    """A run of a clock that was ahead is the newest only of its like, until the clock has caught up."""
    troubles.run(ledger, Outcome.HELD, NOON, name="now")
    troubles.run(ledger, Outcome.DONE, NOON + FAR, name="ahead")

    with ledger.read() as connection:
        newest = [last_run(connection, NOON), last_run(connection, NOON, Outcome.HELD, Outcome.DONE)]
        assert [run.id for run in newest if run] == ["now", "now"]
        ahead = [last_run(connection, NOON, Outcome.DONE), last_run(connection, NOON + FAR)]
        assert [run.id for run in ahead if run] == ["ahead", "ahead"]
