"""The mint's rate against its limit."""

import pytest

from ucred_pipeline.domain.thresholds import Share
from ucred_pipeline.reporting.mint_rate import MintRate, MintState, percent
from ucred_pipeline.settings import Thresholds


@pytest.mark.parametrize(
    "part, whole, expected",
    [
        (0, 0, MintState.NONE),
        (0, 19, MintState.TOO_FEW),
        (20, 20, MintState.GOOD),
        (19, 20, MintState.GOOD),
        (18, 20, MintState.BELOW),
        (949, 1000, MintState.BELOW),
        (950, 1000, MintState.GOOD),
    ],
)
def test_state(part: int, whole: int, expected: MintState) -> None:
    """Exactly at 95% is good, anything below is not, and a handful tells nothing."""
    assert MintRate(Share(part, whole), Thresholds()).state is expected


@pytest.mark.parametrize(
    "part, whole, expected",
    [(9499, 10000, "94.9%"), (1, 1, "100.0%"), (2, 3, "66.6%"), (99999, 100000, "99.9%"), (0, 0, "-")],
)
def test_percent_is_rounded_down(part: int, whole: int, expected: str) -> None:
    """What is below a limit never looks as if it were not."""
    assert percent(Share(part, whole)) == expected
