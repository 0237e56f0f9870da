"""Column types that keep amounts exact and times in UTC on every database."""

from datetime import datetime

from sqlalchemy import BigInteger, Dialect, String
from sqlalchemy.types import TypeDecorator

from ucred_pipeline.domain.clock import from_micros, to_micros
from ucred_pipeline.domain.money import checked_wei


class Wei(TypeDecorator[int]):
    """An unsigned 128-bit amount, kept as decimal digits, for no integer column holds it everywhere."""

    impl = String(39)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write the amount; one that the indexer could not hold is refused."""
        return None if value is None else str(checked_wei(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Read the amount."""
        return None if value is None else int(value)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time, kept as microseconds since 1970, which sort and compare everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Write the time; a naive one is refused."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read the time, aware."""
        return None if value is None else from_micros(value)
