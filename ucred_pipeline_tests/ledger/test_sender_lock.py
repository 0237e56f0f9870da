"""One process sends at a time, and its lock ends with it, however it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.sender_lock import AnotherSender, sole_sender

_HOLDS_THE_LOCK = """
import sys
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.sender_lock import sole_sender
with Ledger.open(sys.argv[1]) as ledger, sole_sender(ledger):
    print("held", flush=True)
    sys.stdin.read()
"""


def try_to_send(ledger: Ledger) -> None:
    """Be the sole sender for a moment."""
    with sole_sender(ledger):
        pass


def test_there_is_one_sender(ledger_url: str) -> None:
    """A second sender is refused while the first is at it, and not afterwards."""
    with Ledger.open(ledger_url) as first, Ledger.open(ledger_url) as second:
        with sole_sender(first), pytest.raises(AnotherSender):
            try_to_send(second)

        try_to_send(second)


def test_the_lock_ends_with_a_failure(ledger: Ledger) -> None:
    """A run that fails while it sends leaves the lock free."""

    def fail() -> None:
        with sole_sender(ledger):
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    try_to_send(ledger)


def test_the_lock_ends_with_its_process(ledger_url: str) -> None:
    """A process that is killed while it sends holds nobody up, and one that lives does."""
    command = [sys.executable, "-c", _HOLDS_THE_LOCK, ledger_url]
    with (
        Ledger.open(ledger_url) as ledger,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(AnotherSender):
            try_to_send(ledger)

        other.kill()
        other.wait()

        wait_for_the_lock(ledger)


def wait_for_the_lock(ledger: Ledger) -> None:
    """Try for a while: a server needs a moment to notice that a process is gone."""
    for _ in range(200):
        try:
            try_to_send(ledger)
        except AnotherSender:
            continue
        return
    try_to_send(ledger)


def test_a_ledger_in_memory_has_one_sender() -> None:
    """So it is without a file."""
    with Ledger.open("sqlite://") as ledger, sole_sender(ledger), pytest.raises(AnotherSender):
        try_to_send(ledger)


def test_the_lock_is_beside_the_ledger(sqlite_ledger: Ledger) -> None:
    """Two ledgers have two locks, and the same ledger by another name has the same."""
    file = sqlite_ledger.file
    assert file is not None
    roundabout = Path(file.parent, "..", file.parent.name, file.name)
    with Ledger.open(f"sqlite:///{roundabout.as_posix()}") as same, sole_sender(sqlite_ledger):
        with pytest.raises(AnotherSender):
            try_to_send(same)
        with Ledger.open(f"sqlite:///{(file.parent / 'other.db').as_posix()}") as other:
            try_to_send(other)
