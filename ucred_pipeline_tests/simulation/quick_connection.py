"""A way to SQLite that leaves out the layers of SQLAlchemy which a ledger in memory does without.

The statements are those of the real ledger, compiled by SQLAlchemy, and values go through its types. Left
out are its pool, events, transactions and cursors, which take most of the time. Some schedules go over the
real connection, and a test holds one against the other: a seed is the same schedule on both.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Dialect
from sqlalchemy.engine.result import IteratorResult, Result, SimpleResultMetaData
from sqlalchemy.exc import IntegrityError

Row = Mapping[str, Any]
_NO_ROW: Final[Row] = {}


class QuickConnection:
    """Executes what the real ledger gives a connection to execute."""

    def __init__(self, raw: sqlite3.Connection, dialect: Dialect) -> None:
        self.dialect = dialect
        self._raw = raw
        self._prepared: dict[Any, _Prepared] = {}

    @contextmanager
    def transaction(self, begin: str) -> Iterator["QuickConnection"]:
        """Commit at the end, or leave nothing."""
        with self._between(begin, "COMMIT", "ROLLBACK"):
            yield self

    def begin_nested(self) -> AbstractContextManager[None]:
        """Open a part of the transaction, which may fail alone."""
        return self._between("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part", "RELEASE part")

    @contextmanager
    def _between(self, begin: str, keep: str, *undo: str) -> Iterator[None]:
        self._raw.execute(begin)
        try:
            yield
        except BaseException:
            for step in undo:
                self._raw.execute(step)
            raise
        self._raw.execute(keep)

    def execute(
        self,
        statement: Any,
        values: Row | Sequence[Row] | None = None,
        execution_options: Row = _NO_ROW,  # noqa: ARG002 - they say how rows come, which are few here
    ) -> Result[Any]:
        """Execute a statement, with no values, a row of them, or many rows."""
        rows = [values or _NO_ROW] if values is None or isinstance(values, Mapping) else values
        cache_key = statement._generate_cache_key()
        known = cache_key.key, *rows[0], len(rows) > 1
        prepared = self._prepared.get(known)
        if prepared is None:
            prepared = self._prepared[known] = _Prepared(self.dialect, statement, cache_key, rows)
        try:
            return prepared.execute(self._raw, cache_key.bindparams, rows)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(str(statement), None, error) from error

    def exec_driver_sql(self, statement: str) -> Result[Any]:
        """Execute a statement as it is written."""
        cursor = self._raw.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return IteratorResult(SimpleResultMetaData(names), iter(cursor.fetchall()))


@dataclass(frozen=True, slots=True)
class _Place:
    """One value: by `name` in a row, by `number` among the statement's own, or always the same."""

    name: str | None
    number: int | None
    constant: Any
    is_list: bool
    fitted: Callable[[Any], Any] | None

    def value(self, own: Sequence[Any], row: Row) -> Any:
        """Find the value, before it is fitted for SQLite."""
        if self.name is not None:
            return row[self.name]
        return self.constant if self.number is None else own[self.number].effective_value


class _Prepared:
    """A compiled statement, and where each of its values comes from."""

    def __init__(self, dialect: Dialect, statement: Any, cache_key: Any, rows: Sequence[Row]) -> None:
        self._many = len(rows) > 1
        self._compiled = statement._compiler(
            dialect, cache_key=cache_key, column_keys=sorted(rows[0]), for_executemany=self._many
        )
        self._refuse_what_is_left_out()
        self._places = list(self._find_places(cache_key.bindparams, rows[0]))
        self._has_lists = any(place.is_list for place in self._places)
        self._texts: dict[tuple[int, ...], str] = {}
        columns = self._compiled._result_columns
        self._columns = SimpleResultMetaData(
            [column.keyname for column in columns],
            _processors=[column.type._cached_result_processor(dialect, None) for column in columns],
        )

    def execute(self, raw: sqlite3.Connection, own: Sequence[Any], rows: Sequence[Row]) -> Result[Any]:
        """Execute it with its `own` values and those of the rows."""
        if self._many:
            raw.executemany(self._compiled.string, [self._bound(own, row) for row in rows])
            found = []
        elif self._has_lists:
            found = raw.execute(*self._spread(own, rows[0])).fetchall()
        else:
            found = raw.execute(self._compiled.string, self._bound(own, rows[0])).fetchall()
        return IteratorResult(self._columns, iter(found))

    def _refuse_what_is_left_out(self) -> None:
        compiled = self._compiled
        defaults = getattr(compiled, "insert_prefetch", ()) or getattr(compiled, "update_prefetch", ())
        if compiled.literal_execute_params or compiled.effective_returning or defaults:
            raise NotImplementedError(compiled.string)

    def _find_places(self, own: Sequence[Any], row: Row) -> Iterator[_Place]:
        compiled = self._compiled
        matches, _ = compiled._cache_key_bind_match
        numbers = {bind: number for number, mine in enumerate(own) for bind in matches[mine]}
        for name in compiled.positiontup:
            bind = compiled.binds[name]
            of_row = bind.key if bind.key in row else None
            is_list = bind in compiled.post_compile_params
            fitted = compiled._bind_processors.get(name)
            yield _Place(of_row, numbers.get(bind), bind.effective_value, is_list, fitted)

    def _bound(self, own: Sequence[Any], row: Row) -> list[Any]:
        bound = []
        for place in self._places:
            value = place.value(own, row)
            bound.append(value if place.fitted is None else place.fitted(value))
        return bound

    def _spread(self, own: Sequence[Any], row: Row) -> tuple[str, list[Any]]:
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
