"""The real command killed at every step boundary, on both databases."""

import pytest

from ucred_pipeline_tests.end_to_end.kills.boundaries import BOUNDARIES, PLACES
from ucred_pipeline_tests.end_to_end.kills.campaign import Case, Database, play


@pytest.mark.timeout(600)
def test_killed_at_every_step_boundary(database: Database) -> None:
    """Wherever between two steps a run ends, the next ones credit what is owed, once, and claim no more."""
    assert {boundary.place for boundary in BOUNDARIES} == set(PLACES)

    figures = play(Case(database, seed=1, random_kills=None))

    assert figures.violations == []
    assert figures.kills == len(BOUNDARIES)
    assert (figures.doubled, figures.lost, figures.left_to_a_person) == (0, 0, 0)
    # Each kill between the write-ahead and the receipt cost an attempt, and no credit came of the early ones.
    assert figures.sends > figures.effects >= len(BOUNDARIES)
