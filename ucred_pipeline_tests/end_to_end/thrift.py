"""What every command of a rehearsal would make anew, and alike, is made once for all tests of a process.

What is spared here is proved elsewhere: the migrations and the wait for the disk by the tests of the ledger,
Dagster's storage on disk by those that start the real command.
"""

import atexit
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock

import dagster as dg
from dagster._core.instance import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import TemporaryLocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, inspect

from ucred_pipeline.ledger import database
from ucred_pipeline.ledger.database import Ledger

_KEPT: Final = ExitStack()
_FREE: Final[list[dg.DagsterInstance]] = []
_MIGRATE: Final = database._run_migrations
_CARELESS: Final = (*database._PRAGMAS, "synchronous=OFF")  # the tests cut no power

atexit.register(_KEPT.close)


@contextmanager
def empty_history() -> Iterator[dg.DagsterInstance]:
    """Lend a history of Dagster's, in memory, in which nothing has happened."""
    lent = _FREE.pop() if _FREE else _KEPT.enter_context(_new_history())
    yield lent
    lent.wipe()
    _FREE.append(lent)


@contextmanager
def thrifty_ledgers() -> Iterator[None]:
    """Open ledgers without what is the same for each of them."""
    with (
        mock.patch.object(database, "create_engine", _engine),
        mock.patch.object(database, "_run_migrations", _migrate),
        mock.patch.object(database, "_PRAGMAS", _CARELESS),
    ):
        yield


class _Events(InMemoryEventLogStorage):
    """What was made, in memory; of steps nobody asks here, and to write them takes a tenth of a command.

    Connections are used again: to make one takes longer than an event.
    """

    def __init__(self) -> None:
        super().__init__()
        self._engine = _pooled(self._engine)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Keep an event that says that something was made."""
        if event.is_dagster_event and event.get_dagster_event().is_step_materialization:
            super().store_event(event)  # type: ignore[no-untyped-call]

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._db_lock, self._engine.begin() as connection:
            yield connection


class _Runs(InMemoryRunStorage):
    """Runs in memory, whose connections are used again."""

    def __init__(self) -> None:
        super().__init__()
        self._engine = _pooled(self._engine)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with self._engine.begin() as connection:
            yield connection


def _new_history() -> dg.DagsterInstance:
    """Make what `DagsterInstance.ephemeral` makes, on storages of our own."""
    return dg.DagsterInstance(
        instance_type=InstanceType.EPHEMERAL,
        local_artifact_storage=TemporaryLocalArtifactStorage(),  # type: ignore[no-untyped-call]
        run_storage=_Runs(),
        event_storage=_Events(),
        compute_log_manager=NoOpComputeLogManager(),
        run_coordinator=DefaultRunCoordinator(),
        run_launcher=SyncInMemoryRunLauncher(),
    )


def _pooled(engine: Engine) -> Engine:
    pooled = create_engine(engine.url, poolclass=QueuePool, connect_args={"check_same_thread": False})
    event.listen(pooled, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON").close())
    return pooled


def _engine(url: Any, **arguments: Any) -> Engine:
    """Make an engine that knows the statements that others of this process have compiled."""
    engine = create_engine(url, **arguments)
    if engine.dialect.name == "sqlite":
        known = _known_statements()
        engine.dialect, engine._compiled_cache = known.dialect, known._compiled_cache
    return engine


@cache
def _known_statements() -> Engine:
    known = create_engine("sqlite://", query_cache_size=5000)
    known.connect().close()
    known.dispose()
    return known


def _migrate(ledger: Ledger, shown: str) -> None:
    """Put into an empty file what the migrations would; migrate any other."""
    with ledger.write() as connection:
        if ledger.dialect == "sqlite" and not inspect(connection).get_table_names():
            for statement in _migrated():
                connection.exec_driver_sql(statement)
            return
    _MIGRATE(ledger, shown)


@cache
def _migrated() -> tuple[str, ...]:
    """What makes a ledger in which nothing has happened."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "ledger.db"
        with Ledger(database._engine(f"sqlite:///{file.as_posix()}")) as ledger:
            _MIGRATE(ledger, "a template")
        with closing(sqlite3.connect(file)) as connection:
            _begin, *statements, _commit = connection.iterdump()
    return tuple(statements)
