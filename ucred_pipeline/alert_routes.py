"""The routes of `UCRED_ALERT_URLS`, by which alerts leave: apprise's URLs, each with the severities it takes.

An address may hold a secret: a route is named by its place in the list and by a hash, and apprise's own
log, which would tell the address, is silenced.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ucred_pipeline.domain.alerts import Severity

if TYPE_CHECKING:
    from apprise import Apprise

#: Loggers that write addresses.
_TALKATIVE: Final = ("apprise", "urllib3")
_KEY_DIGITS: Final = 16
_PAGER: Final = "pagerduty"


class Tone(StrEnum):
    """How apprise is told of a message, from which each service makes its own colour or urgency."""

    FAILURE = "failure"
    WARNING = "warning"
    INFO = "info"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Note:
    """What is said to a service; notes of one subject belong to one incident."""

    subject: str
    tone: Tone
    title: str
    body: str


@dataclass(frozen=True)
class AlertRoute:
    """One way out; `place` counts the entries of `UCRED_ALERT_URLS` from 1."""

    place: int
    key: str
    service: str
    severities: frozenset[Severity]
    _entry: str

    def __repr__(self) -> str:
        return f"AlertRoute({self.name})"

    @property
    def name(self) -> str:
        """The route as people are told of it."""
        return f"{self.place}. {self.service} ({self.key[:8]})"

    def takes(self, severity: Severity) -> bool:
        """Whether messages of a severity go this way."""
        return severity in self.severities

    def send(self, note: Note, timeout_s: float) -> bool:
        """Say something to the service; whether it took it within the time."""
        plugin: Any = self._service[0]
        if plugin.secure_protocol == _PAGER:
            plugin.action, plugin.dedup = "map", note.subject
        taken = self._service.notify(
            body=note.body,
            title=note.title,
            notify_type=note.tone.value,
            body_format="text",
            timeout=timeout_s,
        )
        return bool(taken)

    @cached_property
    def _service(self) -> "Apprise":
        from apprise import Apprise  # noqa: PLC0415 - slow to import, and seldom needed

        service = Apprise()
        service.add(_load(self._entry))
        return service


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes that can be used, and what is wrong with the others."""

    usable: tuple[AlertRoute, ...]
    problems: tuple[str, ...]


def read_routes(text: str) -> Routes:
    """Read URLs separated by white space, each with the severities that it takes: `tag,tag=URL`, or all."""
    usable, problems = dict[str, AlertRoute](), list[str]()
    for place, entry in enumerate(text.split(), start=1):
        found = _read(place, entry)
        if isinstance(found, str):
            problems.append(f"entry {place} of UCRED_ALERT_URLS {found}")
        elif found.key in usable:
            problems.append(
                f"entry {place} of UCRED_ALERT_URLS is the same as entry {usable[found.key].place}"
            )
        else:
            usable[found.key] = found
    return Routes(tuple(usable.values()), tuple(problems))


def _read(place: int, entry: str) -> AlertRoute | str:
    plugin = _load(entry)
    if plugin is None:
        return "cannot be read: expected URL or severity,severity=URL, with a URL as apprise takes it"
    severities = _severities(plugin.tags)
    if severities is None:
        return f"has a tag that is none of {', '.join(Severity)}"
    key = sha256(_address(entry).encode()).hexdigest()[:_KEY_DIGITS]
    return AlertRoute(place, key, str(plugin.service_name), severities, entry)


def _severities(tags: Iterable[object]) -> frozenset[Severity] | None:
    """Give the severities that tags name, all where there is no tag, and None where one is unknown."""
    named = {str(tag) for tag in tags}
    if not named <= set(Severity):
        return None
    return frozenset(map(Severity, named)) or frozenset(Severity)


def _address(entry: str) -> str:
    """The URL without its tags: a route stays the same when it takes other severities."""
    before, mark, after = entry.partition("=")
    return after if mark and "://" not in before else entry


def _load(entry: str) -> Any:
    """Load the service of one entry, as a line of apprise's own text configuration; None if it is not one."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    from apprise.config import ConfigBase  # noqa: PLC0415 - slow to import, and seldom needed

    found, _ = ConfigBase.config_parse_text(entry)
    return found[0] if len(found) == 1 else None
