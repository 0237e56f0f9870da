"""Amounts are exact, and nothing that the indexer could not hold becomes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.money import (
    MAX_WEI,
    WEI_PER_UCRED,
    InvalidAmount,
    checked_wei,
    format_ucred,
    parse_wei,
    ucred_to_wei,
)

wei = st.integers(0, MAX_WEI)


@given(wei)
def test_ucred_written_and_read_again_is_the_same_wei(amount: int) -> None:
    """No amount of 128 bits loses a wei on its way through text."""
    assert amount == ucred_to_wei(format_ucred(amount))


@given(wei)
def test_wei_written_as_digits_reads_back(amount: int) -> None:
    """The decimal strings of the indexer keep every digit."""
    assert amount == parse_wei(str(amount))


@given(st.integers(-MAX_WEI, -1))
def test_a_negative_difference_is_written_with_its_sign(amount: int) -> None:
    """A difference below zero reads like the same amount with a minus before it."""
    assert "-" + format_ucred(-amount) == format_ucred(amount)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1", WEI_PER_UCRED),
        (2, 2 * WEI_PER_UCRED),
        ("0.5", WEI_PER_UCRED // 2),
        ("1e-18", 1),
        ("1.000", WEI_PER_UCRED),
        ("0", 0),
        ("10.000000000000000001", 10 * WEI_PER_UCRED + 1),
        ("340282366920938463463.374607431768211455", MAX_WEI),
    ],
)
def test_amounts_of_ucred_as_people_write_them(text: str | int, expected: int) -> None:
    """Whole numbers and decimals are taken to the wei, also beyond 64 bits."""
    assert expected == ucred_to_wei(text)


@pytest.mark.parametrize(
    "amount",
    ["", "x", "nan", "inf", "-1", "1e-19", "0.0000000000000000001", "1e999999999", "1e-999999999", True, 0.5],
)
def test_what_is_no_amount_is_refused(amount: object) -> None:
    """Fractions of a wei, negatives, floats and nonsense are an error, and quickly so."""
    with pytest.raises(InvalidAmount):
        ucred_to_wei(amount)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "1.0", "-1", "+1", " 1", "1\n", "1_000", "٣", "0x10", str(MAX_WEI + 1), 1, None]
)
def test_only_plain_digits_within_128_bits_are_wei(text: object) -> None:
    """What the indexer does not write is not taken for an amount."""
    with pytest.raises(InvalidAmount):
        parse_wei(text)


@pytest.mark.parametrize("value", [-1, MAX_WEI + 1, True, 1.0])
def test_an_amount_out_of_range_is_refused(value: object) -> None:
    """An amount is an unsigned integer of 128 bits and nothing else."""
    with pytest.raises(InvalidAmount):
        checked_wei(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "amount, expected",
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (WEI_PER_UCRED, "1"),
        (1500 * 10**15, "1.5"),
        (-WEI_PER_UCRED, "-1"),
    ],
)
def test_ucred_is_written_without_needless_zeros(amount: int, expected: str) -> None:
    """People read amounts in their shortest exact form."""
    assert expected == format_ucred(amount)
