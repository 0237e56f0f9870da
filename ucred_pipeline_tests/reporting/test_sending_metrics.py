"""The metrics of what keeps from sending: 0 while nothing does, and each trouble shows in its own."""

from typing import Final

import pytest

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.measures import Windows
from ucred_pipeline.ledger.safety import HoldKind
from ucred_pipeline.reporting.sending_metrics import sending_metrics
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.reporting.troubles import TROUBLES

WELL: Final = {
    "ucred_failed_runs": 0,
    "ucred_gates_closed": 0,
    "ucred_withheld_plans": 0,
    "ucred_breaker_openings": 0,
    "ucred_token_refused": 0,
    **{f"ucred_holds kind={kind}": 0 for kind in HoldKind},
}


def read(ledger: Ledger) -> dict[str, float]:
    """Read the metrics at noon."""
    with ledger.read() as connection:
        families = list(sending_metrics(connection, Windows.of(168, 1), NOON))
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sample.labels.items())]): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_ledger_in_which_nothing_happened(ledger: Ledger) -> None:
    """Every series that is known in advance is there, and 0."""
    assert read(ledger) == WELL


@pytest.mark.parametrize(
    "trouble, seen",
    [
        ("runs_failed", {"ucred_failed_runs": 1}),
        ("gate_closed", {"ucred_gates_closed": 1}),
        ("plan_withheld", {"ucred_withheld_plans": 1}),
        ("breaker_opened", {"ucred_breaker_openings": 1}),
        ("token_refused", {"ucred_token_refused": 1}),
        ("sending_held", {"ucred_holds kind=contradiction": 1}),
        ("held_by_person", {"ucred_holds kind=person": 1}),
        ("indexer_forgot", {"ucred_holds kind=indexer_forgot": 1}),
    ],
)
def test_each_trouble_shows(sqlite_ledger: Ledger, trouble: str, seen: dict[str, float]) -> None:
    """What an alert is about shows in one series, and in no other."""
    TROUBLES[trouble](sqlite_ledger)

    assert read(sqlite_ledger) == WELL | seen
