"""Other worlds of two hundred purchases, and a first run that needs nobody."""

import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.test_truth import check_by_account, check_by_purchase


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_other_worlds(rehearse: Rehearse, seed: int) -> None:
    """Within the standing limits, and whatever the seed, the credits are the true ones, each once."""
    check_by_purchase(rehearse(seed=seed, lost_answers=1))


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_other_worlds_without_logs(rehearse: Rehearse, seed: int) -> None:
    """The same by account where no log is at hand."""
    check_by_account(rehearse(seed=seed, logs=False))


@pytest.mark.parametrize("purchases", [200, 600])
def test_a_first_run_needs_nobody(rehearse: Rehearse, purchases: int) -> None:
    """With an empty ledger, no logs and 5% lacking, the first run credits all of them, the second none."""
    world = rehearse(purchases=purchases, special_cases=False, logs=False, lacking_share=0.05)
    assert len(world.owed()) == purchases // 20

    check_by_account(world)

    assert sum(world.sent().values()) == purchases // 20
