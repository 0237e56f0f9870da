"""`ucred backup` and `ucred restore` as an operator uses them: nothing is credited again from a copy."""

from collections import Counter
from datetime import timedelta

import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

SIGNED = ("--reason", "the disk died", "--by", "Ida")


def owed_to(world: Rehearsal) -> Counter[str]:
    """Wei that each account is to be credited: without logs, which purchase it was for is a convention."""
    owed: Counter[str] = Counter()
    for truth in world.sandbox.truth.to_credit.values():
        owed[truth.account] += WEI_PER_UCRED
    return owed


@pytest.fixture(params=[True, False], ids=["with logs", "without logs"])
def restored(rehearse: Rehearse, request: pytest.FixtureRequest) -> Rehearsal:
    """A world that was planned, copied, credited, and whose ledger was then put back from the copy."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=request.param)
    assert world.reconcile(apply=False).code == 0
    copy = str(world.folder / "a copy.db")
    made = world.ucred("backup", copy)
    assert (made.code, "is whole" in made.out) == (0, True)
    assert world.ucred("backup", copy).code == 2
    assert world.reconcile().code == 0
    assert world.sent_to() == owed_to(world)
    world.variables["UCRED_DATABASE_URL"] = f"sqlite:///{(world.folder / 'new.db').as_posix()}"
    assert world.ucred("restore", copy, *SIGNED).code == 0
    assert world.ucred("restore", copy, *SIGNED).code == 2
    return world


def test_a_restored_ledger_holds_until_it_has_read(restored: Rehearsal) -> None:
    """It sends nothing, and is released only after reads that show what was credited since."""
    owed = owed_to(restored)
    said = restored.reconcile()
    assert (said.code, said.document["hold"] in {"restored", "ledger_lost"}) == (4, True)
    early = restored.ucred("release", *SIGNED)
    assert (early.code, "must be read first" in early.err) == (2, True)

    restored.later(timedelta(minutes=17))
    assert restored.ucred("release", *SIGNED).code == 2
    assert restored.reconcile().code == 4
    assert restored.ucred("release", *SIGNED).code == 0
    done = restored.reconcile()

    assert (done.code, done.document["corrections"]["planned"]) == (0, 0)
    assert restored.sent_to() == owed
    assert restored.ucred("verify").code == 0


def test_what_was_bought_since_is_still_credited(restored: Rehearsal) -> None:
    """After the release the pipeline goes on: a purchase that lacks since then gets its UCRED, once."""
    restored.sandbox.purchase("lacking_indexer_down")
    restored.later(timedelta(hours=1))
    assert restored.reconcile().code == 4
    assert restored.ucred("release", *SIGNED).code == 0

    assert restored.reconcile().document["corrections"]["confirmed"] == 1
    assert restored.sent_to() == owed_to(restored)
