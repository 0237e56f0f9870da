"""`ucred verify` as a person runs it: whole after real work, and broken where somebody changed a row."""

import sqlite3

from ucred_pipeline_tests.end_to_end.conftest import Rehearse


def test_the_history_of_real_work_is_whole(rehearse: Rehearse) -> None:
    """After runs, a doubt, a hold and a new epoch the history is whole, by the text and by the document."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    doubtful = next(iter(world.sandbox.truth.to_credit.values()))
    world.sandbox.faults.set("indexer-drop-before", account=doubtful.account, times=1)
    world.reconcile()
    world.ucred("hold", "--reason", "to look", "--by", "Ida")
    world.later()
    world.reconcile()
    world.ucred("release", "--reason", "looked", "--by", "Ida")

    said = world.ucred("verify")
    told = world.ucred("verify", "--json").document

    assert said.code == 0
    assert "The history is whole" in said.out
    assert told["broken"] is None
    assert told["entries"] > 10
    assert told["head"] in said.out
    assert world.ucred("verify", "--expect", told["head"]).code == 0


def test_a_row_that_was_changed_by_hand_is_named(rehearse: Rehearse) -> None:
    """Whoever takes the guards off and changes an entry is found: exit 1, where, and what to do next."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    world.reconcile()
    with sqlite3.connect(world.folder / "ledger.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE history SET detail = '{}' WHERE sequence = 3")
    connection.close()

    said = world.ucred("verify")

    assert said.code == 1
    assert "entry 3 was changed" in said.out
    assert "hold --reason" in said.out
    assert world.ucred("verify", "--json").document["broken"]["sequence"] == 3


def test_a_hash_that_is_none(rehearse: Rehearse) -> None:
    """A hash with another length is a mistake of the user, and one that is not in the chain a break."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0)
    world.reconcile()

    assert world.ucred("verify", "--expect", "abc").code == 2
    assert world.ucred("verify", "--expect", "0" * 64).code == 1
