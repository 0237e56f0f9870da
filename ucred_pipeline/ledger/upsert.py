"""Rows on either database: insert or replace them by their key, and name many of them at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


#: Databases take some thousands of bound values in one statement.
_CHUNK = 500


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Part names into lists that one statement may take."""
    remaining = iter(names)
    return iter(lambda: list(islice(remaining, _CHUNK)), [])


def row_of(instance: "DataclassInstance") -> dict[str, Any]:
    """Turn a value into a row; unlike `asdict` it copies nothing, which counts for a hundred thousand."""
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows whole; where the key is there already, the new row replaces it."""
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    conflict = (
        statement.on_conflict_do_update(index_elements=keys, set_=others)
        if others
        else statement.on_conflict_do_nothing(index_elements=keys)
    )
    connection.execute(conflict, rows)
