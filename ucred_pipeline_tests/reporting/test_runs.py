"""What a run came to, as a terminal shows it."""

import pytest

from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.runs import Run
from ucred_pipeline.reporting.runs import render
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.reporting.worlds import shown


@pytest.mark.parametrize(
    "mode, confirmed, planned, hold, told",
    [
        ("plan", 0, 3, None, "nothing was sent: this was a plan"),
        ("plan", 0, 3, "person", "nothing was sent: this was a plan"),
        ("apply", 2, 2, None, "credits were sent where they lacked"),
        ("apply", 2, 3, None, "credits were sent, and others held back"),
        ("apply", 2, 3, "breaker", "credits were sent, and others held back"),
        ("apply", 0, 3, "person", "nothing was sent: it is held back"),
        ("apply", 0, 3, None, "nothing was sent: it is held back"),
        ("apply", 0, 0, None, "nothing had to be sent"),
    ],
)
def test_the_first_line_says_whether_anything_was_sent(
    mode: str, confirmed: int, planned: int, hold: str | None, told: str
) -> None:
    """Nobody who reads only the first line takes a run that was held for one that credited."""
    sent = {"confirmed": confirmed, "refused": 0, "in_doubt": 0}
    counts = {"planned": planned, **sent, "held": planned - confirmed}
    summary = {
        "from": None, "to": None, "mode": mode, "verdicts": {Verdict.LACKING.value: 3}, "corrections": counts,
        "mint_success_rate": None, "hold": hold, "plan": None, "breaks_open": 3,
    }  # fmt: skip
    run = Run("r", NOON, NOON, mode == "apply", None, None, Outcome.DONE, "", summary)

    assert shown(render(run)).splitlines()[0] == f"Reconciled all that is open in 0.0 s; {told}."
