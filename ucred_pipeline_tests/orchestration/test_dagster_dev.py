"""`dagster dev` in the project's root: it comes up by the environment alone, and its runs credit."""

from datetime import UTC
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.orchestration.dagster_dev import dagster_dev, kept, wait_for
from ucred_pipeline_tests.orchestration.test_definitions import ASSETS, CHECKS


@pytest.mark.timeout(180)
def test_a_run_from_the_ui(rehearse: Rehearse, tmp_path: Path) -> None:
    """It comes up with its schedule; a partition's run credits, and leaves materializations and checks."""
    world = rehearse(real_time=True, purchases=40, special_cases=False, lacking_share=0.1)
    home = tmp_path / "dagster home"
    home.mkdir()

    with dagster_dev(world, home) as webserver:
        (repository,) = wait_for(webserver.loaded)
        assert repository["location"]["name"] == "ucred_pipeline"
        states = {found["name"]: found["scheduleState"]["status"] for found in repository["schedules"]}
        assert states == {"reconciliation_schedule": "RUNNING"}
        chosen = next(iter(world.sandbox.truth.to_credit.values()))
        day = f"{world.sandbox.world.purchases[chosen.payment_intent].created.astimezone(UTC):%Y-%m-%d}"
        run = webserver.launch(day)
        status = webserver.end_of(run)

    assert status == "SUCCESS"
    assert chosen.namespace in world.sent()
    assert max(world.sent().values()) == 1
    made = kept(home, run, dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert {event.asset_key.to_user_string() for event in made if event.asset_key} == ASSETS
    assert {event.partition for event in made} == {day}
    checked = [event.asset_check_evaluation_data for event in kept(home, run, _CHECKED)]
    assert {(found.asset_key.to_user_string(), found.check_name) for found in checked} == CHECKS
    assert {found.check_name for found in checked if not found.passed} <= {
        "mint_success_rate",
        "mint_latency",
    }
    files = [path.read_bytes().decode(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert world.secrets_in("".join(files)) == []


_CHECKED: Final = dg.DagsterEventType.ASSET_CHECK_EVALUATION
