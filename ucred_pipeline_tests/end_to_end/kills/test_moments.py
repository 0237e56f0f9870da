"""The real command killed at random moments, twenty for each database, with logs and on balances alone."""

import pytest

from ucred_pipeline_tests.end_to_end.kills.campaign import Case, Database, play

KILLS = 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(database: Database, seed: int) -> None:
    """Whenever a run is killed, later runs or a person bring it to the end, and nothing is credited twice."""
    figures = play(Case(database, seed, KILLS))

    assert figures.violations == []
    assert (figures.kills, figures.doubled, figures.lost) == (KILLS, 0, 0)
    assert figures.sends >= figures.effects > KILLS
