"""The real ledger, kept in memory, in which a process may be killed or held up at every transaction."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property
from sqlite3 import Connection as Raw
from typing import Any

from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline_tests.simulation.fate import Fate
from ucred_pipeline_tests.simulation.profiles import Profile
from ucred_pipeline_tests.simulation.quick_connection import QuickConnection
from ucred_pipeline_tests.simulation.stage import Stage


class SimulatedLedger(Ledger):
    """The ledger of one schedule; `fate` is None while nothing may go wrong."""

    stage: Stage | None = None
    fate: Fate | None = None
    rates: Profile | None = None
    is_quick = False
    #: What lies under the transaction of a quick schedule: to be empty again, it only rolls back.
    _image: bytes | None = None

    def begin(self, stage: Stage, fate: Fate, rates: Profile, *, is_quick: bool) -> None:
        """Start a schedule with an empty ledger, over the quick connection or the real one."""
        self.stage, self.fate, self.rates = None, None, None
        self.is_quick = is_quick
        self.restore(_empty())
        self.stage, self.fate, self.rates = stage, fate, rates

    def copy(self) -> bytes:
        """Make a copy of the whole ledger; SQLite copies what is committed."""
        if not self.raw.in_transaction:
            return self.raw.serialize()
        self.raw.execute("COMMIT")
        self._image = None
        try:
            return self.raw.serialize()
        finally:
            self.raw.execute("BEGIN")

    def restore(self, copied: bytes) -> None:
        """Put a copy in the place of the ledger."""
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")
        if copied is not self._image:
            self.raw.deserialize(copied)
        self._image = copied if self.is_quick else None
        if self.is_quick:
            self.raw.execute("BEGIN")

    @contextmanager
    def write(self) -> Iterator[Any]:
        """Open the write transaction; around it, and before it commits, the process may end."""
        self._step("write", may_wait=True)
        with self._quick.transaction() if self.is_quick else super().write() as connection:
            yield connection
            self._step("commit", may_wait=False)
        self._step("written", may_wait=True)

    @contextmanager
    def read(self) -> Iterator[Any]:
        """Open a transaction that only reads; the quick connection keeps nothing of it to undo."""
        self._step("read", may_wait=True)
        with nullcontext(self._quick) if self.is_quick else super().read() as connection:
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

    @cached_property
    def raw(self) -> Raw:
        """The one connection to the database in memory, as SQLite gives it."""
        with self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
        assert isinstance(raw, Raw)
        return raw

    @cached_property
    def _quick(self) -> QuickConnection:
        return QuickConnection(self.raw, self._engine.dialect)


@cache
def the_ledger() -> SimulatedLedger:
    """Give the one ledger of this operating-system process: its compiled statements are used again."""
    return SimulatedLedger.open("sqlite://")


@cache
def _empty() -> bytes:
    return the_ledger().copy()
