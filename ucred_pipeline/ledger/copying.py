"""Copies a whole ledger: into a file, as a back-up, and from such a file into a new ledger.

The copy is held: what was credited after it was made is not in it, so a person looks before anything is
sent from it.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Connection, func, insert, select, text

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.ledger.history import Entry, record
from ucred_pipeline.ledger.safety import HoldKind, Signed, raise_hold_anew
from ucred_pipeline.ledger.schema import metadata
from ucred_pipeline.ledger.verification import Verified, verify

_AT_ONCE: Final = 10_000
#: Tables that a new ledger has rows in.
_SEEDED: Final = frozenset({"epochs", "breaker"})
_IS_LEDGER: Final = "SELECT count(*) FROM sqlite_master WHERE name IN ('alembic_version', 'corrections')"

Progress = Callable[[int], None]


class CannotCopy(Exception):
    """The copy cannot be made; the message says why, and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has: its rows in all, and the history, which was followed in the copy itself."""

    rows: int
    history: Verified


@dataclass(frozen=True, slots=True)
class _Copying:
    """What the copy's history is told, and who is told of progress."""

    event: str
    signed: Signed
    progress: Progress


def back_up(ledger: Ledger, file: Path, signed: Signed, progress: Progress) -> Copied:
    """Copy the ledger as it stands at one moment into a new SQLite file, and read the copy back."""
    if file.exists():
        raise CannotCopy(f"{file} is there already; name a new file, so that no back-up is lost")
    if not file.parent.is_dir():
        raise CannotCopy(f"the folder {file.parent} is not there; create it, or name another")
    try:
        return _back_up(ledger, file, _Copying("copied", signed, progress))
    except OSError as error:
        raise CannotCopy(f"{file} cannot be written: {error.strerror}; name another place") from None


def _back_up(ledger: Ledger, file: Path, copying: _Copying) -> Copied:
    with TemporaryDirectory(dir=file.parent, prefix=f"{file.name}.") as folder:
        unfinished = Path(folder) / "ledger.db"
        os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
        with Ledger.open(_url(unfinished)) as copy:
            copied = _copy(ledger, copy, copying)
        with closing(sqlite3.connect(unfinished)) as raw:
            raw.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nobody may write
        unfinished.rename(file)
    return copied


def restore(file: Path, ledger: Ledger, signed: Signed, progress: Progress) -> Copied:
    """Copy a back-up, which stays as it is, into a ledger, which must be a new one."""
    if not _is_ledger(file):
        raise CannotCopy(f"{file} is not a copy of a ledger; name the file that `ucred backup` wrote")
    with ledger.read() as connection:
        used = _used_table(connection)
    if used is not None:
        raise CannotCopy(
            f"the ledger is in use: its table {used} has rows. Restore into a new one, by "
            "UCRED_DATABASE_URL; two memories cannot be made one"
        )
    with TemporaryDirectory() as folder:
        working = Path(folder) / "ledger.db"
        with closing(_reader(file)) as given, closing(sqlite3.connect(working)) as writer:
            given.backup(writer)  # not its file alone: a ledger that is open has a log beside it
        with Ledger.open(_url(working)) as copy:
            return _copy(copy, ledger, _Copying("restored", signed, progress))


def _copy(source: Ledger, target: Ledger, copying: _Copying) -> Copied:
    signed = copying.signed
    with source.read() as reading, target.write() as writing:
        with _without_triggers(writing):
            rows = _copy_tables(reading, writing, copying.progress)
        told = {"reason": signed.reason, "rows": rows}
        record(writing, Entry(signed.at, signed.actor, "ledger", copying.event, told))
        raise_hold_anew(writing, HoldKind.RESTORED, signed)
        found = verify(writing)
        if found.broken is not None:
            raise CannotCopy(f"the history does not verify: {found.broken.says}; see docs/runbook.md")
    return Copied(rows, found)


def _copy_tables(reading: Connection, writing: Connection, progress: Progress) -> int:
    copied = 0
    for table in reversed(metadata.sorted_tables):
        writing.execute(table.delete())
    for table in metadata.sorted_tables:
        with reading.execute(select(table), execution_options={"yield_per": _AT_ONCE}) as rows:
            for chunk in rows.mappings().partitions():
                writing.execute(insert(table), [dict(row) for row in chunk])
                copied += len(chunk)
                progress(copied)
    if writing.dialect.name == "postgresql":
        _count_on(writing)
    return copied


def _count_on(connection: Connection) -> None:
    """Let the numbers that PostgreSQL gives to new rows begin after the copied ones."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            newest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, newest, text("false"))))


@contextmanager
def _without_triggers(connection: Connection) -> Iterator[None]:
    """Let rows in as they are; the guards, which know only how rows come about, stand again after that."""
    if connection.dialect.name == "postgresql":
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        return
    listed = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    for name, _ in listed:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, written in listed:
        connection.exec_driver_sql(written)


def _used_table(connection: Connection) -> str | None:
    """Name a table that shows that a ledger is no new one."""
    tables = (table for table in metadata.sorted_tables if table.name not in _SEEDED)
    used = (table.name for table in tables if connection.execute(select(table).limit(1)).first() is not None)
    return next(used, None)


def _is_ledger(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with closing(_reader(file)) as connection:
            return bool(connection.execute(_IS_LEDGER).fetchone() == (2,))
    except sqlite3.DatabaseError:
        return False


def _reader(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def _url(file: Path) -> str:
    path = file.resolve().as_posix()
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"
