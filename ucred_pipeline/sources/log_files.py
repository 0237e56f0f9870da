"""Reads the lines of a service's log that matter, from one file or from several rotated ones."""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final, cast

from ucred_pipeline.sources.errors import SourceUnreadable

_COLOUR: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_GZIP: Final = b"\x1f\x8b"
#: How much of a line is looked at for its time, colour codes included.
_HEAD: Final = 120
_LAST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line without colour codes and line end; one that is not `whole` is still being written.

    One with zeros amid its text lost what was written there, as in a power cut.
    """

    text: str
    whole: bool

    @property
    def has_a_hole(self) -> bool:
        """Whether a part of it is lost."""
        return "\0" in self.text


def read_log_lines(source: str, pattern: str, marker: str) -> list[LogLine]:
    """Read the lines with `marker` in them, in the log's order, each once.

    `pattern` is a path or a glob; rotated files are put in the order of their first times, and a
    line that two of them have is taken once.
    """
    files = sorted(_read(source, path, marker) for path in _paths(source, pattern))
    found: dict[str, LogLine] = {}
    for _, _, lines in files:
        for line in lines:
            found.setdefault(line.text, line)
    return list(found.values())


def last_moment(text: str) -> datetime | None:
    """Find the last time in the head of a line; one without an offset is UTC, one that is none is None."""
    times = _TIME.findall(text)
    return _moment(times[-1]) if times else None


def _first_moment(text: str) -> datetime | None:
    """Find the first time of a line: what follows may be a customer's text."""
    found = _TIME.search(text)
    return _moment(found[0]) if found else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _paths(source: str, pattern: str) -> list[Path]:
    try:
        named = Path(pattern)
        # A pattern may be absolute, which Path.glob refuses.
        paths = [named] if named.is_file() else map(Path, glob(pattern, recursive=True))  # noqa: PTH207
        files = [path for path in paths if path.is_file()]
    except OSError as error:
        raise _unreadable(source, pattern, error) from None
    if not files:
        advice = "Check the setting, and whether the service writes there."
        raise SourceUnreadable(source, f"no file matches {pattern}", advice)
    return files


def _read(source: str, path: Path, marker: str) -> tuple[datetime, str, list[LogLine]]:
    """Read one file: its first time, its name, and its lines with the marker."""
    first: datetime | None = None
    lines = []
    try:
        for text in _texts(path):
            first = first or _first_moment(text[:_HEAD])
            if marker in text:
                lines.append(_line(text))
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(source, path, error) from None
    return first or _LAST, str(path), lines


def _unreadable(source: str, where: Path | str, error: Exception) -> SourceUnreadable:
    why = (error.strerror if isinstance(error, OSError) else None) or "damaged"
    advice = "Check that this user may read it; run again if it was just rotated."
    return SourceUnreadable(source, f"{where} cannot be read ({why})", advice)


def _texts(path: Path) -> Iterator[str]:
    """Yield the lines of a file; PowerShell writes UTF-16, and logrotate may have compressed it."""
    with path.open("rb") as file:
        compressed = file.peek(2).startswith(_GZIP)
        data = cast(BufferedReader, gzip.GzipFile(fileobj=file)) if compressed else file
        start = data.peek(3)
        encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        # Both services write sound Unicode, so what is none was damaged on the way.
        with TextIOWrapper(data, encoding, errors="replace", newline="\n") as text:
            yield from text


def _line(text: str) -> LogLine:
    # A file truncated under its writer begins with zeros.
    stripped = _COLOUR.sub("", text).strip("\0\r\n")
    return LogLine(stripped, text.endswith("\n"))
