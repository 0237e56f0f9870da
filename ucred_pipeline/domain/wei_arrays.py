"""Exact amounts of wei as arrays: signed, far beyond 128 bits, and as quick as NumPy.

64 bits hold only 9.22 UCRED, floats lose wei, and arrays of Python integers are slow. So each amount
is five limbs of 32 bits in int64 columns, the least significant first; the topmost carries the sign.
The slack of each column lets two thousand million amounts be summed before a carry is due.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ucred_pipeline.domain.money import InvalidAmount

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LIMBS: Final = 5
_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1
_BYTES: Final = _LIMBS * _BITS // 8
_LARGEST: Final = 2 ** (_LIMBS * _BITS - 1) - 1
#: What an amount may be multiplied by without a column overflowing.
_MOST: Final = 2**30


def _integer(value: object) -> int:
    """Read one amount: a Python integer or a decimal string; nothing else passes."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    message = "an amount in wei is an integer or a decimal string"
    raise InvalidAmount(message)


def _to_bytes(value: int) -> bytes:
    if not -_LARGEST <= value <= _LARGEST:
        message = f"an amount in wei has at most {_LIMBS * _BITS - 1} bits"
        raise InvalidAmount(message)
    return value.to_bytes(_BYTES, "little", signed=True)


def _carried(limbs: Ints) -> Ints:
    """Bring every limb but the topmost back to 32 bits; an arithmetic shift carries debts as well."""
    for low in range(_LIMBS - 1):
        limbs[low + 1] += limbs[low] >> _BITS
        limbs[low] &= _MASK
    return limbs


@dataclass(frozen=True, slots=True, eq=False)
class WeiArray:
    """A column of exact amounts; `limbs` has one row for each limb."""

    limbs: Ints

    @classmethod
    def zeros(cls, count: int) -> Self:
        """Make a column of nothing."""
        return cls(np.zeros((_LIMBS, count), dtype=np.int64))

    @classmethod
    def of(cls, values: list[int] | list[str] | list[int | str]) -> Self:
        """Make a column of integers or decimal strings."""
        packed = b"".join(_to_bytes(_integer(value)) for value in values)
        words = np.frombuffer(packed, dtype="<u4").reshape(len(values), _LIMBS)
        limbs = np.ascontiguousarray(words.T).astype(np.int64)
        limbs[-1] = limbs[-1].astype(np.uint32).view(np.int32)
        return cls(limbs)

    def __len__(self) -> int:
        return int(self.limbs.shape[1])

    def to_ints(self) -> list[int]:
        """Give the amounts as Python integers."""
        total = self.limbs[-1].astype(object)
        for limb in self.limbs[-2::-1]:
            total = total * (1 << _BITS) + limb
        return [int(value) for value in total]

    def take(self, rows: Ints | Bools) -> Self:
        """Select rows by position, or those where a mask holds."""
        return type(self)(self.limbs[:, rows])

    def where(self, mask: Bools) -> Self:
        """Keep the amounts where `mask` holds, and put nothing elsewhere."""
        return type(self)(self.limbs * mask)

    def replaced(self, rows: Ints, amounts: Self) -> Self:
        """Put other amounts at some positions."""
        limbs = self.limbs.copy()
        limbs[:, rows] = amounts.limbs
        return type(self)(limbs)

    def raised_to(self, least: int) -> Self:
        """Put an amount in the place of those that are below it."""
        if not least:
            return self
        floor = self.of([least]).take(np.zeros(len(self), dtype=np.int64))
        below = np.flatnonzero(self < floor)
        return self.replaced(below, floor.take(below))

    def times(self, counts: Ints) -> Self:
        """Multiply each amount by its own small count."""
        if len(counts) and (int(counts.min()) < 0 or int(counts.max()) >= _MOST):
            message = "a count of credits is from 0 to 2^30"
            raise InvalidAmount(message)
        return type(self)(_carried(self.limbs * counts))

    def __add__(self, other: Self) -> Self:
        return type(self)(_carried(self.limbs + other.limbs))

    def __sub__(self, other: Self) -> Self:
        return type(self)(_carried(self.limbs - other.limbs))

    def __le__(self, other: Self) -> Bools:
        return np.logical_not(other < self)

    def __lt__(self, other: Self) -> Bools:
        less: Bools = self.limbs[0] < other.limbs[0]
        for mine, its in zip(self.limbs[1:], other.limbs[1:], strict=True):
            less = (mine < its) | ((mine == its) & less)
        return less

    def is_zero(self) -> Bools:
        """Tell where there is nothing."""
        return np.logical_not(self.limbs.any(axis=0))

    def is_negative(self) -> Bools:
        """Tell where the amount is below nothing."""
        negative: Bools = self.limbs[-1] < 0
        return negative

    def fits_128_bits(self) -> Bools:
        """Tell where the amount is one that the indexer could hold: unsigned, of 128 bits."""
        fits: Bools = self.limbs[-1] == 0
        return fits

    def differs_from_previous(self) -> Bools:
        """Tell where an amount is not the one before it; the first never differs."""
        differs = np.zeros(len(self), dtype=np.bool_)
        differs[1:] = (self.limbs[:, 1:] != self.limbs[:, :-1]).any(axis=0)
        return differs

    def summed_by(self, starts: Ints) -> Self:
        """Sum each run of rows; a run reaches from its start to the next one's."""
        if not len(starts):
            return type(self).zeros(0)
        return type(self)(_carried(np.add.reduceat(self.limbs, starts, axis=1)))

    def running_by(self, starts: Ints, run_of: Ints) -> Self:
        """Sum within each run from its start up to and including each row."""
        running = self.limbs.cumsum(axis=1)
        before = (running - self.limbs)[:, starts]
        return type(self)(_carried(running - before[:, run_of]))


def read_amounts(column: "pd.Series[Any]") -> tuple[WeiArray, Bools]:
    """Read a column of integers or decimal strings; the mask tells which rows have an amount.

    Real columns repeat a few amounts, so each distinct one is read once.
    """
    if column.dtype.kind in "fc":
        message = f"{column.name}: floats lose wei"
        raise InvalidAmount(message)
    codes, distinct = pd.factorize(column)
    known = codes >= 0
    read = WeiArray.of([*distinct.tolist(), 0])
    return read.take(np.where(known, codes, len(distinct))), known
