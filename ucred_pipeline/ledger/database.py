"""Opens the ledger: SQLite or PostgreSQL, migrated, with one writer at a time.

A write transaction is exclusive from its first statement on both databases (`BEGIN IMMEDIATE`; an
advisory lock), so that what it read is still true when it commits. SQLite keeps a write-ahead log
and syncs fully, and PostgreSQL may not be told to commit without a sync: a row that was committed before
a request left is there after a power cut. No call waits for longer than the quiescence of a request: what
waits for the lock gives up after a minute, and so does a connection whose other end is gone.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.schema import metadata

HEAD: Final = "0012"
#: Alembic's table, by which a ledger is known.
_VERSIONS: Final = "alembic_version"
_WRITER_LOCK: Final = 0x75637265  # any constant of ours; it reads "ucre"
#: Without recursive triggers a REPLACE would delete rows that no trigger lets go.
_PRAGMAS: Final = (
    "busy_timeout=60000",
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",
)
#: What begins a transaction, by dialect.
_READING: Final = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"}
_WRITING: Final = {
    "sqlite": "BEGIN IMMEDIATE",
    # Whatever the server's defaults are: it sees what was committed while it waited, for a minute, and syncs.
    "postgresql": f"""
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        SET LOCAL lock_timeout = '60s';
        SELECT set_config('synchronous_commit', 'on', true)
            WHERE current_setting('synchronous_commit') = 'off';
        SELECT pg_advisory_xact_lock({_WRITER_LOCK})
    """,
}
#: How PostgreSQL's other end is found to be gone, in seconds; `tcp_user_timeout` is in milliseconds.
_CONNECTING: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_MIGRATIONS = Path(__file__).with_name("migrations")


class Ledger:
    """The pipeline's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)

    @classmethod
    def open(cls, url: str, *, begins: bool = True) -> Self:
        """Open the ledger at a SQLAlchemy URL, migrating its tables; raise LedgerUnusable.

        Only who `begins` one makes it where there is none: a second ledger would know of no credit.
        """
        if not begins:
            _require_file(make_url(url))
        ledger = cls(_engine(url))
        try:
            ledger._migrate(begins=begins)
        except DatabaseError as error:
            ledger.close()
            raise LedgerUnusable(_advice(url, error)) from None
        except LedgerUnusable:
            ledger.close()
            raise
        return ledger

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def file(self) -> Path | None:
        """The file of a SQLite ledger; None in memory and on PostgreSQL."""
        database = self._engine.url.database
        on_disk = self.dialect == "sqlite" and database not in {None, "", ":memory:"}
        return Path(str(database)).resolve() if on_disk else None

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Open a connection outside of any transaction, for locks that last as long as it does."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, on one consistent snapshot."""
        with self._engine.connect() as connection, connection.begin():
            _begin(connection, _READING)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction; it commits at the end, or leaves nothing."""
        with self._engine.connect() as connection, connection.begin():
            _begin(connection, _WRITING)
            yield connection
            _must_be_open(connection)

    @property
    def place(self) -> str:
        """Where it is, without what may be secret."""
        return place_of(self._engine.url)

    def _migrate(self, *, begins: bool) -> None:
        with self.read() as connection:
            version = version_of(connection)
        if version == HEAD:
            return
        if version is None and not begins:
            raise LedgerUnusable(_none_yet(self._engine.url))
        _run_migrations(self, place_of(self._engine.url))


def _require_file(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise LedgerUnusable(_none_yet(url))


def _none_yet(url: URL) -> str:
    return (
        f"there is no ledger at {place_of(url)}. Is this the user, and are these the settings, of the"
        " pipeline that is meant? `ucred reconcile` begins a ledger; nothing was changed"
    )


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        chosen = parsed.set(drivername="postgresql+psycopg", query=_CONNECTING | dict(parsed.query))
        return create_engine(chosen, hide_parameters=True)
    in_memory = parsed.database in {None, "", ":memory:"}
    if not in_memory and not Path(str(parsed.database)).parent.is_dir():
        raise LedgerUnusable(
            f"UCRED_DATABASE_URL: the folder {Path(str(parsed.database)).parent} is not there. Create it, "
            "or correct the path: a second ledger would be a second memory of what was credited."
        )
    arguments: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    connect = {"check_same_thread": False, "timeout": 60, "cached_statements": 512}
    return create_engine(parsed, connect_args=connect, hide_parameters=True, **arguments)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    names = {name for (name,) in cursor.execute("SELECT name FROM sqlite_master")}
    if not names or _VERSIONS in names:  # it is written into the file, which may be another program's
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin(connection: Connection, first: Mapping[str, str]) -> None:
    """Open the transaction here: an event of the engine would cost each of its statements."""
    connection.exec_driver_sql(first[connection.dialect.name])


def _must_be_open(connection: Connection) -> None:
    """Refuse to go on with what SQLite has rolled back by itself, which its driver does not tell.

    It does so where its disk is full or fails; see https://www.sqlite.org/lang_transaction.html.
    """
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        raise LedgerUnusable(
            "UCRED_DATABASE_URL: SQLite gave up a transaction by itself, as it does when its disk is full or "
            "fails; nothing goes on as if it were kept. See to the disk, then run again."
        )


def version_of(connection: Connection) -> str | None:
    """Which migration the tables are of; None where they are none of ours."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    return connection.execute(select(text("version_num")).select_from(text(_VERSIONS))).scalar()


def _run_migrations(ledger: Ledger, shown: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and rarely needed
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    with ledger.write() as connection:
        if version_of(connection) is None:
            _refuse_tables_of_others(connection, shown)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise LedgerUnusable(
                f"UCRED_DATABASE_URL: {shown} is of a newer version, or of another program. Install the "
                "version of ucred that wrote it, or correct the URL; nothing was changed."
            ) from None


def _refuse_tables_of_others(connection: Connection, shown: str) -> None:
    """Refuse a file that holds anything, and a server's database with a table by one of our names."""
    found = set(inspect(connection).get_table_names())
    others = sorted(found if connection.dialect.name == "sqlite" else found & metadata.tables.keys())
    if others:
        raise LedgerUnusable(
            f"UCRED_DATABASE_URL: {shown} is not a ledger: it has a table {others[0]} of another program. "
            "Correct the URL; nothing was changed."
        )


def place_of(url: URL) -> str:
    """A URL without what may be secret: a password stands before the host, or among the options."""
    return url.set(query={}).render_as_string(hide_password=True)


def _advice(url: str, error: DatabaseError) -> str:
    place = place_of(make_url(url))
    cause = str(error.orig).splitlines()[0] if error.orig else type(error).__name__
    kind = "cannot be reached" if isinstance(error, OperationalError) else "is not a ledger"
    return f"UCRED_DATABASE_URL: {place} {kind}: {cause}. Correct the URL; nothing was changed."
