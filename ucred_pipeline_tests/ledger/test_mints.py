"""What became of each mint, worked out with the judgement, and counted once."""

from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from ucred_pipeline.domain.corrections import CorrectionState
from ucred_pipeline.domain.thresholds import Share
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.measures import mint_latency_s, mint_success, place_of
from ucred_pipeline.ledger.mint_series import mints_since
from ucred_pipeline.ledger.mints import (
    CREDITED_OTHERWISE,
    LATENCY_BUCKETS_MS,
    NEVER,
    note_mints,
    read_mint_counters,
)
from ucred_pipeline.ledger.purchases import clear_marks, mark_all_accounts
from ucred_pipeline.ledger.schema import credit_lines, purchases
from ucred_pipeline_tests.conftest import NOON, FakeClock
from ucred_pipeline_tests.ledger.stories import ROOT, add_purchase, book_of, item, planned

ISSUED: Final = NOON - timedelta(days=2)
A_WEEK_AGO: Final = NOON - timedelta(days=7)


def add_line(connection: Connection, number: int, at: datetime, **changes: Any) -> None:
    """Write a line of the indexer's log that credits purchase `number`."""
    bought = item(number)
    row = {
        "key": f"{number}:{at}",
        "at": at,
        "account": bought.account,
        "amount": bought.amount,
        "memo": f"purchase:{bought.namespace}",
        "namespace": bought.namespace,
        "new_balance": bought.amount,
        "state_root": ROOT,
        "current": True,
    }
    connection.execute(insert(credit_lines).values(row | changes))


def add(connection: Connection, number: int, verdict: Verdict, basis: str = "log") -> None:
    """Write a purchase with a verdict."""
    add_purchase(connection, item(number), verdict=verdict, basis=basis, reason="log_line")


def judged(connection: Connection) -> None:
    """Do what a judgement of every account does last."""
    mark_all_accounts(connection)
    note_mints(connection)
    clear_marks(connection)


def minted(connection: Connection) -> dict[str, bool | None]:
    """What became of each mint."""
    return dict(connection.execute(select(purchases.c.payment_intent, purchases.c.minted)).all())


def test_what_counts_as_minted(ledger: Ledger, clock: FakeClock) -> None:
    """The payments API's own credit is a success; a correction, another's credit or a doubt is none."""
    planned(ledger, book_of(ledger, clock), item(1), verdict=Verdict.CREDITED, basis="receipt")
    with ledger.write() as connection:
        for number, verdict in enumerate(Verdict, 2):
            add(connection, number, verdict, basis="balance")
        add(connection, 20, Verdict.CREDITED)
        add_line(connection, 20, ISSUED)
        add(connection, 21, Verdict.CREDITED)
        add_line(connection, 21, ISSUED, memo="manual_credit:21.x")
        judged(connection)
        found = minted(connection)

    by_balance = {verdict: found[f"pi_{number}"] for number, verdict in enumerate(Verdict, 2)}
    assert found["pi_1"] is False
    assert (found["pi_20"], found["pi_21"]) == (True, False)
    assert {verdict for verdict, success in by_balance.items() if success} == {
        Verdict.CREDITED,
        Verdict.OVER_CREDITED,
    }
    assert {verdict for verdict, success in by_balance.items() if success is False} == {
        Verdict.LACKING,
        Verdict.IN_DOUBT,
        Verdict.AMBIGUOUS,
    }


def test_a_correction_that_was_withdrawn_is_none(ledger: Ledger, clock: FakeClock) -> None:
    """What somebody else credited after all was minted, and its account is judged again for that."""
    book = book_of(ledger, clock)
    found = planned(ledger, book, item(1), verdict=Verdict.CREDITED, basis="balance")[0]
    with ledger.write() as connection:
        judged(connection)
        assert minted(connection) == {"pi_1": False}

    book.withdraw(found.id, CorrectionState.SUPERSEDED, "credited_by_another")
    with ledger.write() as connection:
        note_mints(connection)

        assert minted(connection) == {"pi_1": True}


def test_only_what_is_certified_and_in_the_window_counts(ledger: Ledger) -> None:
    """A purchase without a certificate was never to be minted, and one before the window is not asked for."""
    with ledger.write() as connection:
        add_purchase(connection, item(1), issued=None)
        add_purchase(connection, item(2), issued=A_WEEK_AGO)
        add_purchase(connection, item(3), issued=A_WEEK_AGO - timedelta(microseconds=1))
        judged(connection)

        assert mint_success(connection, A_WEEK_AGO) == Share(0, 1)


def test_each_is_counted_once(ledger: Ledger) -> None:
    """Judging again counts nothing again; a success that turns out to be none is a failure then."""
    with ledger.write() as connection:
        add(connection, 1, Verdict.CREDITED, basis="balance")
        add(connection, 2, Verdict.LACKING)
        add(connection, 3, Verdict.PENDING)
        for _ in range(3):
            judged(connection)
        once = read_mint_counters(connection)
        first = update(purchases).where(purchases.c.payment_intent == "pi_1")
        connection.execute(first.values(verdict=Verdict.IN_DOUBT))
        judged(connection)
        turned = read_mint_counters(connection)
        connection.execute(update(purchases).values(verdict=Verdict.CREDITED, basis="balance"))
        judged(connection)
        last = read_mint_counters(connection)

    assert (once.attempts, sum(once.failures.values()), once.failures["lacking"]) == (2, 1, 1)
    assert (turned.attempts, turned.failures["in_doubt"], turned.failures["lacking"]) == (2, 1, 1)
    assert (last.attempts, sum(last.failures.values())) == (3, 2)


def test_credited_by_another_hand(ledger: Ledger) -> None:
    """A purchase that somebody credited by hand before it was ever judged counts as a failed mint."""
    with ledger.write() as connection:
        add(connection, 1, Verdict.CREDITED)
        add_line(connection, 1, ISSUED, memo="manual_credit:1.x")
        judged(connection)

        assert read_mint_counters(connection).failures[CREDITED_OTHERWISE] == 1


def test_latency_is_counted_by_buckets(ledger: Ledger) -> None:
    """At a bucket's end is within it, what is missing is beyond all, and a clock that is behind adds 0."""
    times = {1: 2.0, 2: 2.001, 3: -3600.0}
    with ledger.write() as connection:
        for number, seconds in times.items():
            add(connection, number, Verdict.CREDITED)
            add_line(connection, number, ISSUED + timedelta(seconds=seconds))
        add(connection, 4, Verdict.LACKING)
        judged(connection)
        counters = read_mint_counters(connection)

    by_bucket = dict(zip([*LATENCY_BUCKETS_MS, "missing"], counters.latency, strict=True))
    assert {end: count for end, count in by_bucket.items() if count} == {
        2000: 1,
        5000: 1,
        100: 1,
        "missing": 1,
    }
    assert counters.latency_us == 4_001_000


def test_without_a_log_there_is_no_latency(ledger: Ledger) -> None:
    """Balances do not tell when a credit came, so nothing is counted, and nothing looks late."""
    with ledger.write() as connection:
        add(connection, 1, Verdict.CREDITED, basis="balance")
        judged(connection)
        counters = read_mint_counters(connection)

        assert (sum(counters.latency), counters.attempts) == (0, 1)
        assert mint_latency_s(connection, A_WEEK_AGO, 0.95) is None


def test_the_series_has_every_mint(ledger: Ledger) -> None:
    """A chart is given when each was issued, whether it worked, and when it came, to the microsecond."""
    came = ISSUED + timedelta(microseconds=1_234_567)
    with ledger.write() as connection:
        add(connection, 1, Verdict.CREDITED)
        add_line(connection, 1, came)
        add(connection, 2, Verdict.LACKING)
        judged(connection)
        found = {tuple(row) for row in mints_since(connection, A_WEEK_AGO).tolist()}
        none = mints_since(connection, NOON)

    us = [int(moment.timestamp()) * 10**6 for moment in (ISSUED, ISSUED)]
    assert found == {(us[0], 1, us[0] + 1_234_567), (us[1], 0, NEVER)}
    assert none.shape == (0, 3)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_credits_are_later_than_any(ledger: Ledger, missing: int) -> None:
    """One of twenty that is missing is beyond the 95th percentile; two make the percentile itself missing."""
    with ledger.write() as connection:
        for number in range(20):
            is_missing = number < missing
            add(connection, number, Verdict.LACKING if is_missing else Verdict.CREDITED)
            if not is_missing:
                add_line(connection, number, ISSUED + timedelta(seconds=number))
        judged(connection)
        found = mint_latency_s(connection, A_WEEK_AGO, 0.95)

    assert found == {0: 19.0, 1: float("inf"), 2: float("inf")}[missing]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_the_one_of_numpy(values: list[int], quantile: float) -> None:
    """The place in order that is taken for a quantile is where numpy finds it."""
    assert sorted(values)[place_of(quantile, len(values))] == np.quantile(values, quantile, method="higher")
