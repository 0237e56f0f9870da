"""The real command in processes of its own: its exit codes, two at once, and one that is killed."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal, Said

#: Waits that a test can sit through; a request of the sandbox never acts late.
QUICK = """
[indexer]
quiescence_s = 1
send_deadline_s = 5
parallel_accounts = 2
[corrections]
backoff_s = 1
"""


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something has happened, or the process has ended."""
    while process.poll() is None and not happened():
        time.sleep(0.005)


def secrets_on_disk(world: Rehearsal, folder: Path) -> list[str]:
    """The secrets and addresses in the files of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [found for path in files for found in world.secrets_in(path.read_bytes().decode(errors="replace"))]


def is_one_document(said: Said) -> bool:
    """Whether standard output is one JSON document, and nobody was shown a traceback."""
    return said.document is not None and "Traceback" not in said.text


def test_exit_codes_and_secrets(rehearse: Rehearse) -> None:
    """Exit codes 2, 3, 4, 5 and 0 in turn, with no secret in what is written, nor in Dagster's own files."""
    world = rehearse(QUICK, real_time=True)
    right, owed = world.variables["RUST_L1_ADMIN_TOKEN"], world.owed()
    said = [world.process("reconcile", "--from", "2026-01-02", "--to", "2026-01-01")]
    world.sandbox.faults.set("stripe-forbid", "disputes")
    said.append(world.process("reconcile", "--apply", "--json"))
    assert "Disputes" in said[-1].err
    world.sandbox.faults.clear()
    world.variables["RUST_L1_ADMIN_TOKEN"] = "a-wrong-canary"
    said.append(world.process("reconcile", "--apply", "--json"))
    assert is_one_document(said[-1])
    assert (world.sandbox.http_credits, world.attempts()) == ((), {})
    world.variables["RUST_L1_ADMIN_TOKEN"] = right
    doubtful = next(iter(world.sandbox.truth.to_credit.values()))
    world.sandbox.faults.set("indexer-drop-before", account=doubtful.account, times=1)
    said.append(world.process("reconcile", "--apply", "--json"))
    assert is_one_document(said[-1])
    wait_until_settled()
    said.append(world.process("reconcile", "--apply", "--json"))

    assert [one.code for one in said] == [2, 3, 4, 5, 0]
    assert world.sent() == owed
    text = "".join(one.text for one in said)
    assert (world.secrets_in(text), "a-wrong-canary" in text, "Traceback" in text) == ([], False, False)
    assert secrets_on_disk(world, world.dagster_home) == []
    assert not [path for path in world.dagster_home.rglob("*.db") if b"a-wrong-canary" in path.read_bytes()]


def wait_until_settled() -> None:
    """Let the deadline and the quiescence of a request pass."""
    time.sleep(6.5)


def test_two_at_once(rehearse: Rehearse, ledger_url: str) -> None:
    """Two runs at the same time double nothing: one sends, the other is held or finds nothing to do."""
    world = rehearse(QUICK, real_time=True, purchases=80, special_cases=False, lacking_share=0.15)
    world.variables["UCRED_DATABASE_URL"] = ledger_url
    world.sandbox.faults.set("indexer-latency", "0.05")
    owed = world.owed()

    both = [world.spawn("reconcile", "--apply", "--json") for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]

    assert {process.returncode for process in both} <= {0, 4}, ended
    assert 0 in {process.returncode for process in both}
    assert world.sent() == owed
    assert world.reconcile().document["corrections"]["planned"] == 0
    assert world.sent() == owed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_is_killed(rehearse: Rehearse, ledger_url: str) -> None:
    """Killed while it sends, a run leaves nothing that a later one would send twice; `kills/` has more."""
    world = rehearse(QUICK, real_time=True, purchases=80, special_cases=False, lacking_share=0.15)
    world.variables["UCRED_DATABASE_URL"] = ledger_url
    world.sandbox.faults.set("indexer-latency", "0.04")
    owed, chance = world.owed(), random.Random(1)
    wanted = chance.randrange(1, len(owed) - 1)

    with world.spawn("reconcile", "--apply", "--json") as process:
        wait_for(lambda: len(world.sandbox.http_credits) >= wanted, process)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert max(world.sent().values()) == 1
    world.sandbox.faults.clear()
    for _ in range(3):
        world.reconcile()
        assert max(world.sent().values()) == 1
        if world.sent() == owed:
            break
        wait_until_settled()

    assert world.sent() == owed
    assert world.reconcile().document["corrections"]["planned"] == 0


def test_a_world_is_not_begun_where_one_is(rehearse: Rehearse) -> None:
    """`ucred sandbox` in a folder with a world in it is a wrong use."""
    world = rehearse(purchases=0, special_cases=False)

    said = world.process("sandbox", "--folder", str(world.sandbox.folder))

    assert (said.code, "--folder" in said.err) == (2, True)
