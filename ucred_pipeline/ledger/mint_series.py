"""The mints as arrays, for the charts: numpy takes a tenth of a second to import, and only they need it."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, Integer, String, cast, func, select, type_coerce

from ucred_pipeline.ledger.mints import NEVER
from ucred_pipeline.ledger.schema import purchases


def mints_since(connection: Connection, since: datetime) -> NDArray[np.int64]:
    """The mints that were owed since then: a row each of when it was issued, whether it worked, when it came.

    Times are in microseconds, and what never came is NEVER. The database writes them as one text, for a
    chart takes a hundred thousand, which row by row take four times as long.
    """
    columns = (
        cast(type_coerce(purchases.c.issued, BigInteger), String),
        cast(cast(purchases.c.minted, Integer), String),
        cast(func.coalesce(type_coerce(purchases.c.arrived, BigInteger), NEVER), String),
    )
    row = columns[0] + "," + columns[1] + "," + columns[2]
    chosen = select(func.aggregate_strings(row, ",")).where(
        purchases.c.minted.is_not(None), purchases.c.issued >= since
    )
    told = connection.execute(chosen).scalar() or ""
    return np.fromstring(told, dtype=np.int64, sep=",").reshape(-1, 3)
