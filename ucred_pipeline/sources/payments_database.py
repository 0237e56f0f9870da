"""Reads the payments API's own database: its payments and its certificates, in one snapshot.

Read-only, and whole or not at all. A required table or column that is missing, or a value that
cannot be understood, ends the read by name. Optional are `namespace_reserved` and `nil_name` of
`payment_intents`, and `nil_name` and `voided_at` of `issuances`: where one of them is missing it
reads as None, and the snapshot's problems say so. An empty text in them reads as None as well.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from os import fsencode
from pathlib import Path, PurePath
from typing import Final, TypeVar
from urllib.parse import quote_from_bytes
from uuid import UUID

import orjson
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.domain.issuances import Issuance, PaymentRecord
from ucred_pipeline.sources.errors import SourceUnreadable

SOURCE: Final = "payments database"
#: How long a read waits for a writer that holds the SQLite file, or for a server that is silent.
BUSY_TIMEOUT_S: Final = 10

_T = TypeVar("_T")
_CHECK_URL: Final = "Check PAYMENTS_DATABASE_URL."
_CHECK_SCHEMA: Final = (
    "Check PAYMENTS_DATABASE_URL, and whether a release of the payments API changed its tables."
)
_RUN_AGAIN: Final = "Run again; if it stays so, have the owners of the database look at it."
_CHECK_RIGHTS: Final = (
    "Check that this user may read the file, and may write the -shm and -wal files beside it."
)
_SQLITE_FAULTS: Final = {
    sqlite3.SQLITE_NOTADB: ("is not a SQLite database", _CHECK_URL),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", _CHECK_RIGHTS),
    sqlite3.SQLITE_READONLY: ("waits for a recovery that needs the right to write", _CHECK_RIGHTS),
    sqlite3.SQLITE_BUSY: (f"was locked by a writer for {BUSY_TIMEOUT_S} s", _RUN_AGAIN),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "Have its owners run PRAGMA integrity_check."),
}
_CATALOGUES: Final = {
    "sqlite": text("SELECT name FROM pragma_table_info(:name)"),
    "postgresql": text(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    ),
}
_FULL_TIME: Final = len("2026-01-21 17:46:00")


@dataclass(frozen=True, slots=True)
class PaymentsSnapshot:
    """Both tables as they stood at one moment, not before `began`.

    `problems` says what is odd but stops nothing, without any customer's address. `fingerprint`
    names the content: where it is the one that the caller knew, `unchanged` says so, and the rows
    are not given again.
    """

    records: list[PaymentRecord]
    issuances: list[Issuance]
    began: datetime
    problems: tuple[str, ...]
    fingerprint: str
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns to read of a table; the first one identifies a row."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]


_PAYMENTS: Final = _Layout(
    "payment_intents",
    ("id", "stripe_payment_intent_id", "customer_email", "status", "created_at"),
    ("namespace_reserved", "nil_name"),
)
_ISSUANCES: Final = _Layout(
    "issuances",
    ("id", "payment_intent_id", "namespace", "customer_email", "state", "issued_at"),
    ("nil_name", "voided_at"),
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What was read of a table, column by column; an optional column that is missing is not there."""

    layout: _Layout
    count: int
    columns: dict[str, Sequence[object]]

    def required(self, name: str, convert: Callable[[object], _T]) -> list[_T]:
        """Convert each value of a column, or name the row whose value cannot be understood."""
        converted = []
        for position, value in enumerate(self.columns[name]):
            try:
                converted.append(convert(value))
            except (TypeError, ValueError, OverflowError):
                raise self._not_understood(name, position) from None
        return converted

    def optional(self, name: str, convert: Callable[[object], _T]) -> list[_T | None]:
        """Convert each value of a column that may be missing, NULL or empty."""
        if name not in self.columns:
            return [None] * self.count
        return self.required(name, lambda value: None if value is None or value == "" else convert(value))

    def problems(self) -> Iterator[str]:
        """Name the optional columns that are missing."""
        for name in self.layout.optional:
            if name not in self.columns:
                yield f"the table {self.layout.name} has no column {name}: read as empty"

    def _not_understood(self, name: str, position: int) -> SourceUnreadable:
        row = self.columns[self.layout.required[0]][position]
        value = self.columns[name][position]
        what = "is NULL" if value is None else "cannot be understood"
        problem = f"{self.layout.name}.{name} {what} in the row {str(row)[:64]!r}"
        return SourceUnreadable(SOURCE, problem, "Have the owners of the payments API look at this row.")


def read_payments_database(url: str, clock: Clock, known: str | None = None) -> PaymentsSnapshot:
    """Read every payment and every issuance in one short read transaction.

    `known` is the fingerprint of an earlier snapshot, if the caller has one.
    """
    began = clock.now()
    with _snapshot(_parsed(url)) as connection:
        payments = _read_table(connection, _PAYMENTS)
        issuances = _read_table(connection, _ISSUANCES)
    fingerprint = _fingerprint(payments, issuances)
    if fingerprint == known:
        return PaymentsSnapshot([], [], began, (), fingerprint, unchanged=True)
    stripe_ids = payments.required("stripe_payment_intent_id", _text)
    _refuse_duplicates(stripe_ids)
    records = _records(payments, stripe_ids)
    stripe_id_of = dict(zip(payments.required("id", _text), stripe_ids, strict=True))
    issued = _issuances(issuances, stripe_id_of)
    problems = (*payments.problems(), *issuances.problems(), *_oddities(records, issued))
    return PaymentsSnapshot(records, issued, began, problems, fingerprint)


def _fingerprint(*tables: _Rows) -> str:
    """Name the content of the tables; rows in another order are taken for another content."""
    return sha256(orjson.dumps([table.columns for table in tables], default=str)).hexdigest()


def _records(rows: _Rows, stripe_ids: list[str]) -> list[PaymentRecord]:
    columns = zip(
        stripe_ids,
        rows.required("customer_email", _text),
        rows.optional("namespace_reserved", _text),
        rows.optional("nil_name", _text),
        rows.required("status", _word),
        rows.required("created_at", _moment),
        strict=True,
    )
    return [PaymentRecord(*cells) for cells in columns]


def _issuances(rows: _Rows, stripe_id_of: dict[str, str]) -> list[Issuance]:
    named = rows.required("payment_intent_id", _text)
    columns = zip(
        rows.required("id", _text),
        [stripe_id_of.get(payment) or f"unknown:{payment}" for payment in named],
        rows.required("namespace", _text),
        rows.required("customer_email", _text),
        rows.optional("nil_name", _text),
        rows.required("state", _word),
        rows.required("issued_at", _moment),
        rows.optional("voided_at", _moment),
        strict=True,
    )
    return [Issuance(*cells) for cells in columns]


def _refuse_duplicates(stripe_ids: list[str]) -> None:
    """Refuse a PaymentIntent that two rows claim: nobody could say which of them is right."""
    if len(set(stripe_ids)) < len(stripe_ids):
        twice, _ = Counter(stripe_ids).most_common(1)[0]
        problem = f"two rows of payment_intents have the stripe_payment_intent_id {twice!r}"
        raise SourceUnreadable(SOURCE, problem, _CHECK_SCHEMA)


def _oddities(records: list[PaymentRecord], issuances: list[Issuance]) -> Iterator[str]:
    """Say what the rows themselves have that should not be."""
    orphans = [issuance.id for issuance in issuances if issuance.payment_intent.startswith("unknown:")]
    if orphans:
        yield f"{len(orphans)} issuances name a payment that is not there (the first: {orphans[0]})"
    nameless = sum(not record.customer_email for record in records)
    nameless += sum(not issuance.customer_email for issuance in issuances)
    if nameless:
        yield f"{nameless} rows have an empty customer_email"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError("not a text")


def _word(value: object) -> str:
    """Read a state that may be stored as JSON text, quotation marks included."""
    word = _text(value)
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word


def _moment(value: object) -> datetime:
    """Read a time; digits beyond the microsecond are cut off, and one without an offset is UTC."""
    moment = value
    if isinstance(value, str) and len(value) >= _FULL_TIME:
        moment = datetime.fromisoformat(value)
    if not isinstance(moment, datetime):
        raise TypeError("not a time")
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_table(connection: Connection, layout: _Layout) -> _Rows:
    """Read the columns that are wanted and there, and refuse a table without the required ones."""
    present = _columns_of(connection, layout.name)
    missing = ", ".join(name for name in layout.required if name not in present)
    if missing:
        problem = f"the table {layout.name} has no column {missing}, only {', '.join(sorted(present))}"
        raise SourceUnreadable(SOURCE, problem, _CHECK_SCHEMA)
    names = [name for name in layout.required + layout.optional if name in present]
    query = f"SELECT {', '.join(names)} FROM {layout.name}"  # noqa: S608 - all of it is written above
    rows = connection.exec_driver_sql(query).all()
    columns: Iterable[Sequence[object]] = zip(*rows, strict=True) if rows else [()] * len(names)
    return _Rows(layout, len(rows), dict(zip(names, columns, strict=True)))


def _columns_of(connection: Connection, name: str) -> set[str]:
    """Ask the catalogue, which answers also where the right to read is one of single columns."""
    present = set(connection.execute(_CATALOGUES[connection.dialect.name], {"name": name}).scalars())
    if not present:
        raise SourceUnreadable(SOURCE, f"there is no table {name}", _CHECK_SCHEMA)
    return present


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise SourceUnreadable(SOURCE, "the URL is not one of a database", _CHECK_URL) from None


@contextmanager
def _snapshot(url: URL) -> Iterator[Connection]:
    """Open a read-only transaction in which every read sees the same moment."""
    sqlite = url.get_backend_name() == "sqlite"
    engine = _sqlite(url) if sqlite else _postgresql(url)
    try:
        with engine.connect() as connection:
            if sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection
    except SQLAlchemyError as error:
        # The driver's own text may quote a value or the URL, so none of it is passed on.
        raise (_sqlite_fault if sqlite else _postgresql_fault)(url, error) from None
    finally:
        engine.dispose()


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "").absolute()
    if not url.database or not path.is_file():
        raise SourceUnreadable(SOURCE, f"there is no file {url.database or ':memory:'}", _CHECK_URL)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def read_only_uri(path: PurePath) -> str:
    """Name a file to SQLite so that it is opened for reading only, and never created."""
    posix = path.as_posix()
    rooted = posix if posix.startswith("/") else f"/{posix}"
    return f"file://{quote_from_bytes(fsencode(rooted), safe='/:')}?mode=ro"


def _sqlite_fault(url: URL, error: SQLAlchemyError) -> SourceUnreadable:
    cause = error.orig if isinstance(error, DBAPIError) else None
    if str(cause).startswith("Could not decode to UTF-8"):
        return SourceUnreadable(SOURCE, f"the file {url.database} holds text that is not UTF-8", _RUN_AGAIN)
    primary = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    unnamed = (f"cannot be read ({getattr(cause, 'sqlite_errorname', type(error).__name__)})", _RUN_AGAIN)
    problem, advice = _SQLITE_FAULTS.get(primary, unnamed)
    return SourceUnreadable(SOURCE, f"the file {url.database} {problem}", advice)


def _postgresql(url: URL) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={"connect_timeout": BUSY_TIMEOUT_S},
        )
    except ImportError:
        advice = "Install it: pip install 'ucred-pipeline[postgres]'."
        raise SourceUnreadable(SOURCE, "the driver for PostgreSQL is not installed", advice) from None
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _postgresql_fault(url: URL, error: SQLAlchemyError) -> SourceUnreadable:
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    silent = isinstance(error, OperationalError) and state is None
    what = (
        "it cannot be reached, or it refuses the login"
        if silent
        else ", ".join(filter(None, (type(cause).__name__, state)))
    )
    problem = f"the database {url.database} on {url.host or 'the local server'} cannot be read ({what})"
    return SourceUnreadable(SOURCE, problem, "Check PAYMENTS_DATABASE_URL, and this user's right to read.")
