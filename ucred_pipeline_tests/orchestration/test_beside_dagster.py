"""Runs of a real `dagster dev`: beside one by hand, and terminated in the middle of sending."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pytest

from ucred_pipeline.ledger.runs import RECONCILIATION
from ucred_pipeline.orchestration.jobs import may_send
from ucred_pipeline.orchestration.partitions import ALL_OPEN, SCOPE_TAG, today
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.end_to_end.kills.hardship import RULES, SETTLES_AFTER_S
from ucred_pipeline_tests.end_to_end.kills.oracles import lost, violations
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.orchestration.webserver import Webserver, dagster_dev, put_settings, wait_for

_LACKING: Final = 15
_AGE: Final = timedelta(days=2)
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Beside:
    """A world, and the Dagster that reconciles it beside whoever does by hand."""

    world: Rehearsal
    dagster: Webserver

    def let_lack(self) -> None:
        """Let some purchases lack."""
        for _ in range(_LACKING):
            self.world.sandbox.purchase("lacking_restarted", age=_AGE)

    def launch(self) -> str:
        """Launch a run over all that is open."""
        tags = {"dagster/partition": today(self.world.clock.now()), SCOPE_TAG: ALL_OPEN}
        return self.dagster.launch(RECONCILIATION, may_send(), **tags)

    def wait_until_it_sends(self) -> int:
        """Wait until some credits of a run took effect; give how many are still owed."""
        wanted = len(self.world.sandbox.http_credits) + 3
        wait_for(lambda: len(self.world.sandbox.http_credits) >= wanted, 120)
        return self.still_owed()

    def still_owed(self) -> int:
        """How many purchases have not been credited yet."""
        return len(self.world.owed() - self.world.sent())

    def finish(self) -> None:
        """Let later runs do the rest."""
        for _ in range(5):
            self.world.reconcile()
            assert violations(self.world) == []
            if not lost(self.world):
                break
            time.sleep(SETTLES_AFTER_S)
        assert lost(self.world) == []
        assert self.world.sent() == self.world.owed()
        assert self.world.ucred("verify").code == 0


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """One Dagster for all tests here, for it takes long to come up; its indexer is slow."""
    spec = SandboxSpec(purchases=20, lacking_share=0, special_cases=False, lost_answers=0)
    folder = tmp_path_factory.mktemp("beside")
    with Rehearsal(folder, spec, rules=RULES, real_time=True) as world:
        world.sandbox.faults.set("indexer-latency", "0.1")
        put_settings(world.dagster_home)
        with dagster_dev(world, world.dagster_home) as (dagster, _):
            wait_for(dagster.loaded)
            dagster.let_nothing_start_by_itself()
            yield Beside(world, dagster)


def test_one_by_dagster_and_one_by_hand(beside: Beside) -> None:
    """Launched while the other sends, a run by hand is held or finds nothing to do; all is credited, once."""
    beside.let_lack()

    run = beside.launch()
    beside.wait_until_it_sends()
    by_hand = beside.world.process("reconcile", "--apply", "--json")

    assert by_hand.code in {0, 4}
    assert beside.dagster.end_of(run) == "SUCCESS"
    assert violations(beside.world) == []
    assert beside.world.sent() == beside.world.owed()
    beside.finish()


@pytest.mark.parametrize("policy", ["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"])
def test_terminated_in_the_middle_of_sending(beside: Beside, policy: str) -> None:
    """A run that is terminated stops, and what it left half done is settled; nothing is credited twice."""
    beside.let_lack()
    run = beside.launch()
    assert beside.wait_until_it_sends() > 0

    beside.dagster.terminate(run, policy)
    by_hand = beside.world.reconcile()

    assert by_hand.code in {0, 4, 5}
    assert beside.dagster.end_of(run) == "CANCELED"
    assert violations(beside.world) == []
    beside.finish()
