"""UCRED amounts: exact integers of wei, from 0 to 2^128 - 1, as the indexer keeps them."""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

WEI_PER_UCRED: Final = 10**18
MAX_WEI: Final = 2**128 - 1

_DIGITS = re.compile(r"[0-9]{1,39}", re.ASCII)


class InvalidAmount(ValueError):
    """Not an amount that the indexer could hold."""


def checked_wei(value: int) -> int:
    """Return `value` when it is an unsigned 128-bit integer; raise InvalidAmount otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_WEI:
        message = f"an amount in wei is an integer from 0 to {MAX_WEI}"
        raise InvalidAmount(message)
    return value


def parse_wei(text: object) -> int:
    """Read the decimal string of wei that the indexer and its log write; nothing else passes."""
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        message = "an amount in wei is a string of at most 39 digits"
        raise InvalidAmount(message)
    return checked_wei(int(text))


def ucred_to_wei(amount: str | int) -> int:
    """Turn an amount of UCRED ("1", "0.5", 2) into wei; a fraction of a wei is refused."""
    if isinstance(amount, bool) or not isinstance(amount, str | int):
        message = 'an amount of UCRED is a whole number or a string such as "0.5"'
        raise InvalidAmount(message)
    try:
        exact = Decimal(amount)
    except InvalidOperation as error:
        message = f'"{amount}" is not a number'
        raise InvalidAmount(message) from error
    if not exact.is_finite():
        message = f'"{amount}" is not a finite number'
        raise InvalidAmount(message)
    sign, digits, exponent = exact.as_tuple()
    shift = int(exponent) + 18
    if abs(shift) > len(digits) + 60:
        message = f'"{amount}" UCRED is outside of what the indexer can hold'
        raise InvalidAmount(message)
    unscaled = int("".join(map(str, digits)))
    wei, rest = (unscaled * 10**shift, 0) if shift >= 0 else divmod(unscaled, 10**-shift)
    if rest:
        message = f'"{amount}" UCRED is not a whole number of wei (18 decimals)'
        raise InvalidAmount(message)
    return checked_wei(-wei if sign else wei)


def format_ucred(wei: int) -> str:
    """Write wei as UCRED, exactly and without needless zeros: 1500000000000000000 is "1.5"."""
    sign, magnitude = ("-", -wei) if wei < 0 else ("", wei)
    whole, fraction = divmod(magnitude, WEI_PER_UCRED)
    decimals = f"{fraction:018d}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
