"""A way to SQLite that leaves out the layers of SQLAlchemy which a ledger in memory does without.

The statements are those of the real ledger, compiled by SQLAlchemy, and values go through its types. Left
out are its pool, events, transactions, cursors and results, which take most of the time. Some schedules go
over the real connection, and a test holds one against the other: a seed is the same schedule on both.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect
from sqlalchemy.engine import Row
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import IntegrityError

Values = Mapping[str, Any]
_NO_VALUES: Final[Values] = {}


class Rows(list[Any]):
    """What a statement gave: as much of SQLAlchemy's `Result` as the ledger asks for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Everything was fetched at once."""

    def all(self) -> "Rows":
        """Give every row."""
        return self

    def first(self) -> Any:
        """Give the first row; None where there is none."""
        return self[0] if self else None

    def one(self) -> Any:
        """Give the only row."""
        (row,) = self
        return row

    def scalar(self) -> Any:
        """Give the first value of the first row; None where there is none."""
        return self[0][0] if self else None

    def scalar_one(self) -> Any:
        """Give the first value of the only row."""
        return self.one()[0]

    def scalars(self) -> "Rows":
        """Give the first value of each row."""
        return Rows(row[0] for row in self)

    def mappings(self) -> "Rows":
        """Give each row by the names of its columns."""
        return Rows(row._mapping for row in self)


class QuickConnection:
    """Executes what the real ledger gives a connection to execute."""

    def __init__(self, raw: sqlite3.Connection, dialect: Dialect) -> None:
        self.dialect = dialect
        self._raw = raw
        self._prepared: dict[Any, _Prepared] = {}
        self._by_statement: WeakKeyDictionary[Any, dict[Any, tuple[_Prepared, Sequence[Any]]]] = (
            WeakKeyDictionary()
        )

    @contextmanager
    def transaction(self) -> Iterator["QuickConnection"]:
        """Keep all that is done in it, or nothing; one within another may fail alone."""
        self._raw.execute("SAVEPOINT part")
        try:
            yield self
        except BaseException:
            self._raw.execute("ROLLBACK TO part")
            raise
        finally:
            self._raw.execute("RELEASE part")

    begin_nested = transaction

    def execute(
        self,
        statement: Any,
        values: Values | Sequence[Values] | None = None,
        execution_options: Values = _NO_VALUES,  # noqa: ARG002 - they say how rows come, which are few here
    ) -> Rows:
        """Execute a statement, with no values, a row of them, or many rows."""
        rows = [values or _NO_VALUES] if values is None or isinstance(values, Mapping) else values
        prepared, own = self._prepare(statement, rows)
        try:
            return prepared.execute(self._raw, own, rows)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(str(statement), None, error) from error

    def exec_driver_sql(self, statement: str) -> Rows:
        """Execute a statement as it is written."""
        cursor = self._raw.execute(statement)
        return _Columns([(column[0], None) for column in cursor.description or ()]).rows(cursor.fetchall())

    def _prepare(self, statement: Any, rows: Sequence[Values]) -> tuple["_Prepared", Sequence[Any]]:
        """Give a statement as it was compiled for values of the same names, and its own values."""
        shape = *rows[0], len(rows) > 1
        of_statement = self._by_statement.setdefault(statement, {})
        found = of_statement.get(shape)
        if found is None:
            cache_key = statement._generate_cache_key()
            prepared = self._prepared.get((cache_key.key, shape))
            if prepared is None:
                prepared = _Prepared(self.dialect, statement, cache_key, rows)
                self._prepared[cache_key.key, shape] = prepared
            found = of_statement[shape] = prepared, cache_key.bindparams
        return found


class _Columns:
    """The columns of what a statement gives: their names, and what makes values of what SQLite gives."""

    def __init__(self, columns: Sequence[tuple[str, Any]]) -> None:
        made = [processor for _, processor in columns]
        self._processors = made if any(made) else None
        self._metadata = SimpleResultMetaData([name for name, _ in columns])

    def rows(self, found: list[Any]) -> Rows:
        """Make rows of what SQLite gave."""
        metadata, index = self._metadata, self._metadata._key_to_index
        return Rows(Row(metadata, self._processors, index, data) for data in found)


@dataclass(frozen=True, slots=True)
class _Place:
    """One value: by `name` in a row, by `number` among the statement's own, or always the same."""

    name: str | None
    number: int | None
    constant: Any
    is_list: bool
    fitted: Callable[[Any], Any] | None

    def value(self, own: Sequence[Any], row: Values) -> Any:
        """Find the value, before it is fitted for SQLite."""
        if self.name is not None:
            return row[self.name]
        return self.constant if self.number is None else own[self.number].effective_value


class _Prepared:
    """A compiled statement, and where each of its values comes from."""

    def __init__(self, dialect: Dialect, statement: Any, cache_key: Any, rows: Sequence[Values]) -> None:
        self._many = len(rows) > 1
        self._compiled = statement._compiler(
            dialect, cache_key=cache_key, column_keys=sorted(rows[0]), for_executemany=self._many
        )
        self._refuse_what_is_left_out()
        self._places = list(self._find_places(cache_key.bindparams, rows[0]))
        self._has_lists = any(place.is_list for place in self._places)
        self._texts: dict[tuple[int, ...], str] = {}
        columns = self._compiled._result_columns
        self._columns = _Columns(
            [(column.keyname, column.type._cached_result_processor(dialect, None)) for column in columns]
        )

    def execute(self, raw: sqlite3.Connection, own: Sequence[Any], rows: Sequence[Values]) -> Rows:
        """Execute it with its `own` values and those of the rows."""
        if self._many:
            raw.executemany(self._compiled.string, [self._bound(own, row) for row in rows])
            found = []
        elif self._has_lists:
            found = raw.execute(*self._spread(own, rows[0])).fetchall()
        else:
            found = raw.execute(self._compiled.string, self._bound(own, rows[0])).fetchall()
        return self._columns.rows(found) if found else Rows()

    def _refuse_what_is_left_out(self) -> None:
        compiled = self._compiled
        defaults = getattr(compiled, "insert_prefetch", ()) or getattr(compiled, "update_prefetch", ())
        if compiled.literal_execute_params or compiled.effective_returning or defaults:
            raise NotImplementedError(compiled.string)

    def _find_places(self, own: Sequence[Any], row: Values) -> Iterator[_Place]:
        compiled = self._compiled
        matches, _ = compiled._cache_key_bind_match
        numbers = {bind: number for number, mine in enumerate(own) for bind in matches[mine]}
        for name in compiled.positiontup:
            bind = compiled.binds[name]
            of_row = bind.key if bind.key in row else None
            is_list = bind in compiled.post_compile_params
            fitted = compiled._bind_processors.get(name)
            yield _Place(of_row, numbers.get(bind), bind.effective_value, is_list, fitted)

    def _bound(self, own: Sequence[Any], row: Values) -> list[Any]:
        bound = []
        for place in self._places:
            value = place.value(own, row)
            bound.append(value if place.fitted is None else place.fitted(value))
        return bound

    def _spread(self, own: Sequence[Any], row: Values) -> tuple[str, list[Any]]:
        """Give each value of a list a place of its own; the text depends on how long the lists are."""
        given: list[Any] = []
        spread: list[Any] = []
        for place in self._places:
            value = place.value(own, row)
            values = value if place.is_list else [value]
            given.append(value)
            spread += values if place.fitted is None else map(place.fitted, values)
        lengths = tuple(len(value) for place, value in zip(self._places, given, strict=True) if place.is_list)
        if lengths not in self._texts:
            named = dict(zip(self._compiled.positiontup, given, strict=True))
            self._texts[lengths] = self._compiled._process_parameters_for_postcompile(named).statement
        return self._texts[lengths], spread
