"""Columns of wei are exact: whatever Python's integers say, they say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.money import MAX_WEI, InvalidAmount
from ucred_pipeline.domain.wei_arrays import WeiArray, read_amounts

amounts = st.integers(-(2**140), 2**140) | st.sampled_from(
    [0, 1, -1, 2**32, 2**63, 2**64 - 1, 2**64, MAX_WEI, -MAX_WEI, 10**18]
)
pairs = st.lists(st.tuples(amounts, amounts), max_size=20)


@given(pairs)
def test_sums_differences_and_comparisons_are_exact(given_pairs: list[tuple[int, int]]) -> None:
    """Addition, subtraction and order are those of integers, below nothing and beyond 128 bits."""
    left, right = ([pair[side] for pair in given_pairs] for side in (0, 1))
    one, two = WeiArray.of(left), WeiArray.of(right)

    assert [a + b for a, b in given_pairs] == (one + two).to_ints()
    assert [a - b for a, b in given_pairs] == (one - two).to_ints()
    assert [a < b for a, b in given_pairs] == (one < two).tolist()
    assert [a <= b for a, b in given_pairs] == (one <= two).tolist()
    assert [a < 0 for a in left] == one.is_negative().tolist()
    assert [a == 0 for a in left] == one.is_zero().tolist()
    assert [0 <= a <= MAX_WEI for a in left] == one.fits_128_bits().tolist()


@given(st.lists(st.lists(st.integers(0, MAX_WEI), min_size=1, max_size=5), max_size=8))
def test_runs_are_summed_exactly(runs: list[list[int]]) -> None:
    """Sums of a run, and up to each of its rows, do not mix with other runs."""
    column = WeiArray.of([amount for run in runs for amount in run])
    lengths = np.array([len(run) for run in runs], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    run_of = np.repeat(np.arange(len(runs)), lengths)

    assert [sum(run) for run in runs] == column.summed_by(starts).to_ints()
    upto = [sum(run[: place + 1]) for run in runs for place in range(len(run))]
    assert upto == column.running_by(starts, run_of).to_ints()


@given(st.lists(st.tuples(st.integers(0, MAX_WEI), st.integers(0, 2**20)), max_size=10))
def test_amounts_times_counts_are_exact(given_pairs: list[tuple[int, int]]) -> None:
    """A few credits of a large amount are still exact."""
    column = WeiArray.of([amount for amount, _ in given_pairs])
    counts = np.array([count for _, count in given_pairs], dtype=np.int64)

    assert [amount * count for amount, count in given_pairs] == column.times(counts).to_ints()


@pytest.mark.parametrize("counts", [[-1], [2**30]])
def test_a_count_that_could_overflow_is_refused(counts: list[int]) -> None:
    """No column overflows silently."""
    with pytest.raises(InvalidAmount):
        WeiArray.of([1]).times(np.array(counts, dtype=np.int64))


def test_an_amount_beyond_the_limbs_is_refused() -> None:
    """What does not fit is an error, not a remainder."""
    with pytest.raises(InvalidAmount):
        WeiArray.of([2**159])


def test_a_million_of_the_largest_amounts_sum_exactly() -> None:
    """The slack of the limbs is enough for whole tables."""
    column = WeiArray.of([MAX_WEI]).take(np.zeros(1_000_000, dtype=np.int64))

    assert column.summed_by(np.array([0])).to_ints() == [MAX_WEI * 1_000_000]


def test_columns_are_read_from_integers_and_decimal_strings() -> None:
    """Both ways of writing an amount are the same amount; a missing one is told."""
    column = pd.Series([MAX_WEI, str(MAX_WEI), None, "0", 7, "-3"], dtype=object)
    read, known = read_amounts(column)

    assert read.to_ints() == [MAX_WEI, MAX_WEI, 0, 0, 7, -3]
    assert known.tolist() == [True, True, False, True, True, True]


def test_integer_columns_are_read() -> None:
    """A column of 64-bit integers is exact as it is."""
    read, _ = read_amounts(pd.Series([10**18, 5]))

    assert read.to_ints() == [10**18, 5]


@pytest.mark.parametrize("column", [[1.0], [1e18, None], [float("nan")]])
def test_float_columns_are_refused(column: list[float]) -> None:
    """Floats lose wei."""
    with pytest.raises(InvalidAmount, match="floats lose wei"):
        read_amounts(pd.Series(column, name="balance"))


@pytest.mark.parametrize("value", ["1.5", "1e18", "", "-", "٣", " 1", 1.5, True, b"1"])
def test_what_is_no_amount_is_refused(value: object) -> None:
    """Only integers and decimal strings pass."""
    with pytest.raises(InvalidAmount):
        read_amounts(pd.Series([value], dtype=object))
