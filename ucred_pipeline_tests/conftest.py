"""What the tests share: a clock that they move, and a ledger on each database that it may be kept in."""

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, event

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.schema import metadata
from ucred_pipeline_tests.postgresql import NotUsable, PostgreSQL, serving

NOON: Final = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
_MAY_NOT_SKIP: Final = "UCRED_TESTS_MAY_NOT_SKIP"
_NUMBERS: Final = count()
#: What the migration puts into an empty ledger.
_BEGINNING: Final = (
    "INSERT INTO epochs VALUES (1, 0, 'ucred', 'the beginning')",
    "INSERT INTO breaker VALUES (1, 0, 0, false, false)",
)

# A machine that is busy with other tests draws slowly, which says nothing about the program.
settings.register_profile("ucred", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("ucred")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: to look through it for garbage takes a tenth of the tests' time."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def missing(what: str) -> NoReturn:
    """Skip a test for which something is not installed; fail it where nothing may be skipped."""
    if os.environ.get(_MAY_NOT_SKIP) == "1":
        pytest.fail(f"{what}, and {_MAY_NOT_SKIP}=1", pytrace=False)
    pytest.skip(what)


@dataclass
class FakeClock:
    """A clock that stands still until a test moves it; wall and monotonic time move together."""

    wall: datetime = NOON
    running_s: float = 1000.0

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds that never step back, for deadlines."""
        return self.running_s

    def advance(self, by: timedelta) -> None:
        """Let time pass on both."""
        self.wall += by
        self.running_s += by.total_seconds()


@pytest.fixture
def clock() -> FakeClock:
    """A clock at a known moment."""
    return FakeClock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A throw-away PostgreSQL server for this process of the tests."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serving())
        except NotUsable as error:
            missing(str(error))
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite ledger in which nothing has happened yet, to be copied."""
    file = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(f"sqlite:///{file.as_posix()}").close()
    return file


@pytest.fixture(scope="session")
def shared_ledger_url(postgresql: PostgreSQL) -> str:
    """A PostgreSQL ledger that is emptied before each test, which is quicker than to make one."""
    postgresql.execute("CREATE DATABASE ledger")
    url = postgresql.url("ledger")
    Ledger.open(url).close()
    return url


@pytest.fixture
def postgresql_url(shared_ledger_url: str) -> str:
    """A fresh PostgreSQL ledger of one test."""
    engine = create_engine(shared_ledger_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # no triggers
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for statement in _BEGINNING:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return shared_ledger_url


@pytest.fixture
def empty_postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """A PostgreSQL database of one test in which there is nothing, not even a table."""
    name = f"empty_{next(_NUMBERS)}"
    postgresql.execute(f"CREATE DATABASE {name}")
    yield postgresql.url(name)
    postgresql.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """A fresh SQLite ledger of one test, in a folder with a space."""
    folder = tmp_path / "the ledger"
    folder.mkdir()
    copied = shutil.copy(migrated_file, folder / "ledger.db")
    return f"sqlite:///{Path(copied).as_posix()}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh ledger, on each database in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A fresh ledger, on each database in turn."""
    with Ledger.open(ledger_url) as opened:
        yield careless(opened)


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    """A fresh ledger on SQLite, for what does not depend on the database."""
    with Ledger.open(sqlite_url) as opened:
        yield careless(opened)


def careless(ledger: Ledger) -> Ledger:
    """Spare a SQLite ledger the wait for the disk: the tests cut no power."""
    if ledger.dialect == "sqlite":
        ledger._engine.dispose()
        event.listen(ledger._engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    return ledger
