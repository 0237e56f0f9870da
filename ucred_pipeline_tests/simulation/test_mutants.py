"""Each rule of crediting is needed: switched off, an oracle of the simulation notices it."""

import pytest

from ucred_pipeline_tests.simulation.mutants import MUTANTS, Mutant, caught_at
from ucred_pipeline_tests.simulation.schedule import Case, play


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_switched_off_is_missed(mutant: Mutant) -> None:
    """Within its number of seeds a mutant violates an oracle, where the honest engine does not."""
    seed, violation = caught_at(mutant)

    assert seed is not None, f"{mutant.rule}: not noticed within {mutant.seeds} seeds"
    assert violation
    assert play(Case(seed, mutant.profile)).violations == []
