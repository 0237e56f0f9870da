"""What is forgotten after a while, and what never is."""

from datetime import timedelta

from sqlalchemy import select

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.pruning import Pruned, prune
from ucred_pipeline.ledger.reads import Read, Source, doubt_note, leave_note, note, save_read
from ucred_pipeline.ledger.runs import End, Run, begin_run, end_run
from ucred_pipeline.ledger.schema import attempts, history, reads, runs
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import A_SECOND, ACKNOWLEDGED, book_of, in_doubt, item, sending

DAY = timedelta(days=1)


def add_run(ledger: Ledger, name: str, age: int) -> None:
    """Keep a run that ended so many days ago, and its read of Stripe."""
    at = NOON - age * DAY
    with ledger.write() as connection:
        begin_run(connection, Run(name, at, None, True, None, None, Outcome.RUNNING, "", {}))
        end_run(connection, name, End(at, Outcome.DONE))
        save_read(connection, Read(name, Source.STRIPE, at, at, True, 1, 0, {}))


def test_old_runs_and_reads_are_forgotten(ledger: Ledger) -> None:
    """What ended before goes; what is younger stays, and running it again finds nothing more."""
    for age in (500, 401, 399, 1):
        add_run(ledger, f"run {age}", age)
    with ledger.write() as connection:
        assert prune(connection, NOON - 400 * DAY) == Pruned(reads=2, runs=2, notes=0)
        assert prune(connection, NOON - 400 * DAY) == Pruned(reads=0, runs=0, notes=0)
        left = connection.execute(select(runs.c.id)).scalars().all()

    assert sorted(left) == ["run 1", "run 399"]


def test_the_newest_read_of_a_source_stays_however_old(ledger: Ledger) -> None:
    """What a source was last read whole for is where the next run goes on."""
    for age in (600, 500):
        add_run(ledger, f"run {age}", age)
    with ledger.write() as connection:
        assert prune(connection, NOON).reads == 1
        assert connection.execute(select(reads.c.run_id)).scalars().all() == ["run 500"]


def test_what_proves_a_credit_stays(ledger: Ledger, clock: FakeClock) -> None:
    """A run that sent stays, and so do its attempts and the whole history."""
    add_run(ledger, "run", 500)
    book = book_of(ledger, clock)
    book.conclude(sending(ledger, book, clock, item(1)), ACKNOWLEDGED, A_SECOND, None)

    with ledger.write() as connection:
        before = [connection.execute(select(table)).all() for table in (attempts, history, runs)]
        assert prune(connection, NOON + DAY).runs == 0
        assert before == [connection.execute(select(table)).all() for table in (attempts, history, runs)]


def test_notes_of_settled_doubts_are_forgotten(ledger: Ledger, clock: FakeClock) -> None:
    """The balance that was noted for a doubt is kept as long as the doubt is open."""
    doubt = in_doubt(ledger, book_of(ledger, clock), clock, item(1))
    with ledger.write() as connection:
        for name in (doubt.name, "0123456789abcdef.1"):
            leave_note(connection, doubt_note(name), {"wei": "1"})
        leave_note(connection, "another", 1)
        assert prune(connection, NOON).notes == 1
        assert note(connection, doubt_note(doubt.name)) == {"wei": "1"}
        assert note(connection, "another") == 1
