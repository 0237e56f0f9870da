"""Each rule of crediting is needed: switched off, an oracle of the simulation notices it."""

from typing import Final

import pytest

from ucred_pipeline_tests.simulation.mutants import MUTANTS, Mutant, caught_at
from ucred_pipeline_tests.simulation.schedule import Case, play

#: Where `python -m ucred_pipeline_tests.simulation mutants` found each, if not at 0: played first.
_NOTICED_AT: Final = {
    "retry_in_doubt": 3,
    "any_5xx_failed": 7,
    "broken_200_failed": 3,
    "silent_is_planned": 11,
    "no_deadline": 405,
    "no_grace": 2,
    "no_memory": 1,
    "mixed_lives": 3923,
    "no_clock_gate": 109,
    "trusting_logs": 4,
    "no_holds": 1,
    "no_limits": 6,
    "stale_evidence": 9,
    "always_quiet": 56,
    "old_records": 531,
    "no_cross_check": 67,
    "lasting_denial": 2744,
    "hasty_denial": 87,
    "hasty_epoch": 12,
    "any_4xx_failed": 16,
    "any_429_failed": 423,
    "no_guards": 460,
    "busy_accounts": 3,
    "unread_copy": 79,
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_switched_off_is_missed(mutant: Mutant) -> None:
    """Within its number of seeds a mutant violates an oracle, where the honest engine does not."""
    seed, violation = caught_at(mutant, _NOTICED_AT.get(mutant.name, 0))

    assert seed is not None, f"{mutant.rule}: not noticed within {mutant.seeds} seeds"
    assert seed < mutant.seeds
    assert violation
    assert play(Case(seed, mutant.profile)).violations == []
