"""Lines as Rust's tracing writes them by default: with ANSI colour codes."""

from datetime import datetime
from pathlib import Path
from typing import Final

#: A level as it is printed: padded to five, and in its colour.
LEVELS: Final = {
    "INFO": "\x1b[32m INFO\x1b[0m",
    "WARN": "\x1b[33m WARN\x1b[0m",
    "ERROR": "\x1b[31mERROR\x1b[0m",
}


def tracing_line(at: datetime, level: str, target: str, message: str) -> str:
    """Write one line, dim and coloured where tracing is."""
    moment = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"\x1b[2m{moment}Z\x1b[0m {LEVELS[level]} \x1b[2m{target}\x1b[0m\x1b[2m:\x1b[0m {message}\n"


class TracingLog:
    """A log file that one program appends to; without a path nothing is kept."""

    def __init__(self, path: Path | None, target: str) -> None:
        self._target = target
        self._file = None if path is None else path.open("ab")
        self.last: datetime | None = None

    @property
    def kept(self) -> bool:
        """Whether anything is written at all."""
        return self._file is not None

    def write(self, at: datetime, level: str, message: str, *, flush: bool = True) -> None:
        """Append one line; its time never steps back behind the line before."""
        if self._file is None:
            return
        self.last = at if self.last is None else max(self.last, at)
        self._file.write(tracing_line(self.last, level, self._target, message).encode())
        if flush:
            self._file.flush()

    def flush(self) -> None:
        """Let readers see what was written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
