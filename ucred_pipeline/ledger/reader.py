"""Opens the ledger for those who only look: never written to, never migrated, and never waited for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ucred_pipeline.ledger.database import HEAD, place_of, version_of
from ucred_pipeline.ledger.errors import LedgerUnusable

#: Who looks would rather hear that the ledger is busy than wait.
_PATIENCE_MS: Final = 1000
_LONGEST_QUERY_MS: Final = 15_000


class LedgerReader:
    """The ledger, opened anew for every look, so that one that comes back or is replaced is seen."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine = _engine(self._url)

    @property
    def place(self) -> str:
        """Where the ledger is, without a password, wherever in the URL one may stand."""
        return place_of(self._url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one consistent snapshot; raise LedgerUnusable where there is none to be had."""
        self._require_file()
        try:
            with self._engine.connect() as connection, connection.begin():
                _require_version(connection)
                yield connection
        except DBAPIError as error:
            raise LedgerUnusable(f"The ledger cannot be read: {_cause(error)}.") from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _require_file(self) -> None:
        if self._url.get_backend_name() == "sqlite" and not Path(str(self._url.database)).is_file():
            raise LedgerUnusable(
                "There is no ledger yet: the file that UCRED_DATABASE_URL names is not there. "
                "`ucred reconcile` makes it."
            )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        limits = {"statement_timeout": _LONGEST_QUERY_MS, "lock_timeout": _PATIENCE_MS}
        options = " ".join(f"-c {name}={value}" for name, value in limits.items())
        only_reads = f"-c default_transaction_read_only=on {options}"
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"options": only_reads, "connect_timeout": 3},
            hide_parameters=True,
            poolclass=NullPool,  # a kept connection to a server that hangs would be waited for without end
            isolation_level="REPEATABLE READ",
        )
        event.listen(
            engine, "begin", lambda connection: connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        )
        return engine
    file = f"{Path(str(url.database)).absolute().as_uri()}?mode=ro"
    named = URL.create("sqlite", database=file, query={"uri": "true"})
    connect = {"check_same_thread": False, "timeout": _PATIENCE_MS / 1000, "uri": True}
    engine = create_engine(named, connect_args=connect, hide_parameters=True, poolclass=NullPool)
    event.listen(engine, "connect", _only_reads)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _only_reads(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the transaction is begun by the listener alone
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _require_version(connection: Connection) -> None:
    version = version_of(connection)
    if version is None:
        raise LedgerUnusable("What UCRED_DATABASE_URL names is no ledger: it has no tables of one.")
    if version < HEAD:
        raise LedgerUnusable(
            "The ledger is of an older version. Any other command of this version brings it up to date, "
            "for example `ucred status`."
        )
    if version > HEAD:
        raise LedgerUnusable(
            "The ledger is of a newer version than this program. Install the version of ucred that wrote it."
        )


def _cause(error: DBAPIError) -> str:
    """Say what the database said, in its first line; a row or a parameter is never in it."""
    return (
        str(error.orig).strip().splitlines()[0].rstrip(".") if str(error.orig).strip() else "no reason given"
    )
