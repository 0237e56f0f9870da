"""Limits hold a plan that is over them, and none that is exactly at them."""

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucred_pipeline.domain.limits import Excess, Limits, Load, excesses
from ucred_pipeline.domain.money import WEI_PER_UCRED

LIMITS: Final = Limits(100, 200 * WEI_PER_UCRED, 500 * WEI_PER_UCRED, 25, 20)
AT_THE_LIMITS: Final = Load(100, 200 * WEI_PER_UCRED, 300 * WEI_PER_UCRED, 400, 100)


def test_exactly_at_every_limit_is_within() -> None:
    """A hundred corrections, 200 UCRED, 500 on the day, and a quarter of the purchases: all of it passes."""
    assert excesses(AT_THE_LIMITS, LIMITS) == []


@pytest.mark.parametrize(
    "more, excess",
    [
        ({"corrections": 101}, Excess.CORRECTIONS_PER_RUN),
        ({"wei": 200 * WEI_PER_UCRED + 1, "wei_sent_today": 0}, Excess.UCRED_PER_RUN),
        ({"wei_sent_today": 300 * WEI_PER_UCRED + 1}, Excess.UCRED_PER_DAY),
        ({"lacking": 101}, Excess.LACKING_SHARE),
        ({"settled": 399}, Excess.LACKING_SHARE),
    ],
)
def test_one_more_is_over(more: dict[str, Any], excess: Excess) -> None:
    """By one correction, one wei or one purchase, a plan is over that limit alone."""
    assert [excess] == excesses(replace(AT_THE_LIMITS, **more), LIMITS)


@pytest.mark.parametrize(
    "settled, lacking, over", [(19, 19, False), (20, 5, False), (20, 6, True), (0, 0, False), (20, 20, True)]
)
def test_few_purchases_have_no_share(settled: int, lacking: int, *, over: bool) -> None:
    """Of fewer than twenty purchases a share says nothing; from twenty on it holds."""
    load = Load(1, WEI_PER_UCRED, 0, settled, lacking)

    assert over == (Excess.LACKING_SHARE in excesses(load, LIMITS))


def test_an_empty_plan_is_over_nothing() -> None:
    """Where there is nothing to send, nobody needs to approve it."""
    assert excesses(Load(0, 0, 10**30, 100, 100), LIMITS) == []


_few = st.integers(0, 10**6)
_wei = st.integers(0, 2**128)


@given(st.builds(Load, st.integers(1, 10**6), _wei, _wei, _few, _few), _few)
def test_more_is_never_less_over(load: Load, more: int) -> None:
    """A plan that asks for more is over at least the limits that it was over before."""
    larger = replace(
        load, corrections=load.corrections + more, wei=load.wei + more, lacking=load.lacking + more
    )

    assert set(excesses(load, LIMITS)) <= set(excesses(larger, LIMITS))


@given(_wei, _wei)
def test_amounts_are_exact(wei: int, sent: int) -> None:
    """Limits of amounts are compared to the wei, beyond 64 bits."""
    over = excesses(Load(1, wei, sent, 0, 0), LIMITS)

    assert (wei > LIMITS.wei_per_run) == (Excess.UCRED_PER_RUN in over)
    assert (wei + sent > LIMITS.wei_per_day) == (Excess.UCRED_PER_DAY in over)
