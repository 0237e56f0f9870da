"""Rows on either database: insert or replace them by their key, and name many of them at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Executable, Select, Table, bindparam, select

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from sqlalchemy.dialects import postgresql, sqlite

#: Databases take some thousands of bound values in one statement.
_CHUNK = 500


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Part names into lists that one statement may take."""
    remaining = iter(names)
    return iter(lambda: list(islice(remaining, _CHUNK)), [])


def row_of(instance: "DataclassInstance") -> dict[str, Any]:
    """Turn a value into a row; unlike `asdict` it copies nothing, which counts for a hundred thousand."""
    return {name: getattr(instance, name) for name in _names(type(instance))}


@cache
def _names(kind: "type[DataclassInstance]") -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@cache
def named(column: Column[str]) -> Select[Any]:
    """Choose the rows whose column is among the `names`, which `execute` is given."""
    return select(column.table).where(column.in_(bindparam("names", expanding=True)))


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows whole; where the key is there already, the new row replaces it."""
    if rows:
        connection.execute(_upserting(connection.dialect.name, table, tuple(rows[0])), rows)


@cache
def _upserting(dialect: str, table: Table, names: tuple[str, ...]) -> Executable:
    insert = import_module(f"sqlalchemy.dialects.{dialect}").insert  # the other database's takes long to load
    statement: sqlite.Insert | postgresql.Insert = insert(table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in names if name not in keys}
    if not others:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=others)
