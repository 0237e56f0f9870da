"""A throw-away PostgreSQL server, as whoever is running; its sockets are in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text

#: It holds nothing that outlives it, so it may be careless with the disk.
_CARELESS: Final = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=40")


class NotUsable(Exception):
    """There is no PostgreSQL here, or none that we may run; the message says what is missing."""


@dataclass(frozen=True)
class PostgreSQL:
    """A server that was started for the tests, on a socket in a folder of its own."""

    folder: Path

    def url(self, database: str) -> str:
        """Where one of its databases is."""
        return f"postgresql+psycopg://ucred@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Say something to the server, outside of any transaction."""
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            self.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - not up yet, in whichever way
            return False
        return True


@contextmanager
def serving() -> Iterator[PostgreSQL]:
    """Run a server for as long as the block lasts; raise NotUsable."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="ucred-pg-"))
    try:
        with _Server(programs, folder, _unprivileged(folder)) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of PostgreSQL's server programs."""
    if find_spec("psycopg") is None:
        raise NotUsable("PostgreSQL is not installed: there is no psycopg")
    found = shutil.which("postgres")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    usable = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not usable:
        raise NotUsable("PostgreSQL is not installed: neither `postgres` nor `initdb` was found")
    return usable[0]


def _unprivileged(folder: Path) -> str | None:
    """Give the folder to somebody else where we are root, as whom PostgreSQL does not start."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            shutil.chown(folder, name)
        except LookupError:
            continue
        return name
    raise NotUsable("PostgreSQL is not usable: we are root, and there is no other user to run it")


class _Server:
    """Runs a server for as long as the block lasts."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self._programs, self._folder, self._user = programs, folder, user

    def __enter__(self) -> PostgreSQL:
        data = str(self._folder / "data")
        locale = ["-E", "UTF8", "--no-locale"]
        self._start(["initdb", "-D", data, "-U", "ucred", "-A", "trust", "--no-sync", *locale]).communicate()
        options = [part for setting in _CARELESS for part in ("-c", setting)]
        self._server = self._start(["postgres", "-D", data, "-k", str(self._folder), *options])
        server = PostgreSQL(self._folder)
        for _ in range(300):
            if server.is_up():
                return server
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("PostgreSQL is installed, and did not come up")

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        try:
            self._server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [str(self._programs / command[0]), *command[1:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            user=self._user,
            extra_groups=[] if self._user else None,
        )
