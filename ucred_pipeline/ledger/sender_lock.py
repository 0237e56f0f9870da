"""One process sends at a time: whoever holds this lock knows that any other sender is dead.

SQLite: a lock of the operating system on a file beside the ledger. PostgreSQL: an advisory lock on
a connection of its own. Both end with the process that holds them, however it ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from filelock import FileLock, Timeout

from ucred_pipeline.ledger.database import Ledger

#: The name of this reason not to send, for programs.
ANOTHER_SENDER: Final = "another_sender"
_SENDER_LOCK: Final = 0x73656E64  # any constant of ours; it reads "send"
_IN_MEMORY: Final = Lock()


class AnotherSender(Exception):
    """Another run is sending now."""

    def __init__(self) -> None:
        super().__init__("another run is sending now; its corrections will be seen by the next run")


@contextmanager
def sole_sender(ledger: Ledger) -> Iterator[None]:
    """Be the only sender for a while; raise AnotherSender where there is one."""
    if ledger.dialect == "postgresql":
        with _advisory(ledger):
            yield
    elif ledger.file is None:
        with _in_memory():
            yield
    else:
        with _beside(ledger.file):
            yield


@contextmanager
def _beside(file: Path) -> Iterator[None]:
    lock = FileLock(f"{file}.sender.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AnotherSender from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _in_memory() -> Iterator[None]:
    if not _IN_MEMORY.acquire(blocking=False):
        raise AnotherSender
    try:
        yield
    finally:
        _IN_MEMORY.release()


@contextmanager
def _advisory(ledger: Ledger) -> Iterator[None]:
    with ledger.session() as connection:
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_SENDER_LOCK})").scalar():
            raise AnotherSender
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_SENDER_LOCK})")
