"""Runs in the ledger: which of them is the newest."""

from datetime import timedelta

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.runs import last_ended, last_reconciled, last_run
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.reporting import troubles

FAR = timedelta(days=300)
LATER = timedelta(minutes=1)


def test_the_newest_run_has_begun_and_ended(ledger: Ledger) -> None:
    """A run of a clock that was ahead is the newest only of its like, until the clock has caught up."""
    troubles.run(ledger, Outcome.HELD, NOON, name="now")
    troubles.run(ledger, Outcome.DONE, NOON + FAR, name="ahead")

    with ledger.read() as connection:
        newest = [found(connection, NOON) for found in (last_run, last_ended, last_reconciled)]
        assert [run.id for run in newest if run] == ["now", "now", "now"]
        ahead = last_reconciled(connection, NOON + FAR)
        assert ahead is not None
        assert ahead.id == "ahead"


def test_a_run_that_failed_or_read_nothing_reconciled_nothing(ledger: Ledger) -> None:
    """The newest run, the newest that ended, and the newest that reconciled are three things."""
    troubles.run(ledger, Outcome.DONE, NOON, name="whole")
    troubles.run(ledger, Outcome.DONE, NOON + LATER, name="a part", reads=False)
    troubles.run(ledger, Outcome.FAULT, NOON + 2 * LATER, name="a fault")
    troubles.run(ledger, Outcome.RUNNING, NOON + 3 * LATER, name="now")

    with ledger.read() as connection:
        newest = [found(connection, NOON + FAR) for found in (last_run, last_ended, last_reconciled)]
        assert [run.id for run in newest if run] == ["now", "a fault", "whole"]
