"""The real ledger, kept in memory, in which a process may be killed or held up at every transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from sqlite3 import Connection as Raw
from typing import Any

from sqlalchemy import Connection

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline_tests.simulation.fate import Fate
from ucred_pipeline_tests.simulation.profiles import Profile
from ucred_pipeline_tests.simulation.stage import Stage


class SimulatedLedger(Ledger):
    """The ledger of one schedule; `fate` is None while nothing may go wrong."""

    stage: Stage | None = None
    fate: Fate | None = None
    rates: Profile | None = None

    def begin(self, stage: Stage, fate: Fate, rates: Profile) -> None:
        """Start a schedule with an empty ledger."""
        self.stage, self.fate, self.rates = None, None, None
        self.restore(_empty())
        self.stage, self.fate, self.rates = stage, fate, rates

    def copy(self) -> bytes:
        """Make a copy of the whole ledger."""
        return self._raw().serialize()

    def restore(self, copied: bytes) -> None:
        """Put a copy in the place of the ledger."""
        self._raw().deserialize(copied)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the write transaction; around it, and before it commits, the process may end."""
        self._step("write", may_wait=True)
        with super().write() as connection:
            yield connection
            self._step("commit", may_wait=False)
        self._step("written", may_wait=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        self._step("read", may_wait=True)
        with super().read() as connection:
            yield connection

    def _step(self, name: str, *, may_wait: bool) -> None:
        if self.stage is None or self.fate is None or self.rates is None or self.stage.current is None:
            return
        process = self.stage.current
        process.must_live()
        self.stage.now += 0.002
        if self.fate.strikes(f"crash_at_{name}", self.rates.crash):
            process.die()
        if may_wait and self.fate.strikes("pause", self.rates.pause):
            process.sleep(self.fate.one_of((0.1, 5, 30, 200, 1200)))

    def _raw(self) -> Raw:
        with self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
        assert isinstance(raw, Raw)
        return raw


@cache
def the_ledger() -> SimulatedLedger:
    """Give the one ledger of this operating-system process: its compiled statements are used again."""
    return SimulatedLedger.open("sqlite://")


@cache
def _empty() -> bytes:
    return the_ledger().copy()
