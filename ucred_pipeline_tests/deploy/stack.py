"""Real Prometheus and Alertmanager on loopback, with the files of `deploy/` and a clock that runs faster."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from deploy import routing, rules, scraping
from deploy.scraping import Places
from deploy.yaml_text import yaml_text
from ucred_pipeline.domain.alerts import Severity
from ucred_pipeline.settings import Rules
from ucred_pipeline_tests.deploy.conftest import program
from ucred_pipeline_tests.ports import free_port
from ucred_pipeline_tests.reporting.receiver import Receiver

#: What stands here for the durations of the files; windows of days stay, of which a test sees the beginning.
_FASTER: Final = {"30s": "500ms", "1m": "1s", "2m": "2s", "5m": "1s", "15m": "5s"}
_PATIENCE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the two programs answer."""

    prometheus: str
    alertmanager: str

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """Ask Prometheus for a value of now."""
        answer = httpx.get(f"http://{self.prometheus}/api/v1/query", params={"query": expr}, timeout=10)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """The names of the alerts that fire, by Prometheus."""
        return {one["metric"]["alertname"] for one in self.ask('ALERTS{alertstate="firing"}')}


class Watched:
    """The two programs, and whoever Alertmanager tells, by severity."""

    def __init__(self, running: Stack, receivers: Mapping[str, Receiver]) -> None:
        self.running, self.receivers = running, receivers

    def told(self, status: str) -> set[tuple[str, str]]:
        """Who was told that an alert has a status, by the newest message about it."""
        newest = {
            (receiver, alert["fingerprint"]): (alert["status"], alert["labels"]["alertname"])
            for receiver, taken in self.receivers.items()
            for message in taken.taken
            for alert in message["alerts"]
        }
        return {(receiver, name) for (receiver, _), (now, name) in newest.items() if now == status}

    def is_told(self, receiver: str, name: str) -> bool:
        """Whether somebody was told that an alert fires."""
        return (receiver, name) in self.told("firing")

    def is_quiet(self) -> bool:
        """Whether the rules are evaluated, nothing fires, and nobody was told that anything still does."""
        is_evaluated = self.running.ask("ucred:mint_attempts:window") != []
        return is_evaluated and not self.running.firing() and not self.told("firing")

    def forget(self) -> None:
        """Forget what was told so far."""
        for receiver in self.receivers.values():
            receiver.taken.clear()


@contextmanager
def watching(folder: Path, settings: Rules, exporter: str) -> Iterator[Watched]:
    """Run both with the files of `deploy/`; what Alertmanager says goes to a receiver for each severity."""
    programs = {
        "alertmanager": program("prometheus-alertmanager", "alertmanager"),
        "prometheus": program("prometheus"),
    }
    running = Stack(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    with ExitStack() as opened:
        receivers = {severity.value: opened.enter_context(Receiver()) for severity in Severity}
        _write_files(folder, settings, Places(exporter, running.alertmanager), receivers)
        for name, place in (("alertmanager", running.alertmanager), ("prometheus", running.prometheus)):
            options = [
                f"--config.file={folder / name}.yml",
                f"--web.listen-address={place}",
                *_options(name, folder),
            ]
            opened.enter_context(_running([programs[name].path, *options], folder / f"{name}.log"))
            eventually(partial(_is_ready, place), f"{name} is ready")
        yield Watched(running, receivers)


def _write_files(folder: Path, settings: Rules, places: Places, receivers: Mapping[str, Receiver]) -> None:
    hooks = {name: one.url(name).replace("json:", "http:") for name, one in receivers.items()}
    files = {
        scraping.RULES: _faster(rules.document(settings.thresholds)),
        "prometheus.yml": _faster(scraping.document(places)),
        "alertmanager.yml": _with_hooks(_faster(routing.document(settings.alerts)), hooks),
    }
    for name, document in files.items():
        (folder / name).write_text(yaml_text(document), encoding="utf-8")


def eventually(happens: Callable[[], Any], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + _PATIENCE_S
    while not happens():
        if time.monotonic() > until:
            pytest.fail(f"not within {_PATIENCE_S} s: {what}")
        time.sleep(0.05)


def _options(name: str, folder: Path) -> tuple[str, ...]:
    if name == "alertmanager":
        return (f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=")
    return (
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--rules.alert.resend-delay=200ms",
        "--web.console.libraries=",
        "--web.console.templates=",
    )


def _is_ready(place: str) -> bool:
    try:
        return httpx.get(f"http://{place}/-/ready", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _faster(document: Any) -> Any:
    """Shorten the durations of a file, also those in expressions."""
    if isinstance(document, dict):
        return {key: _faster(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_faster(value) for value in document]
    if isinstance(document, str):
        return _FASTER.get(document) or re.sub(
            r"\[(\d+m)\]", lambda found: f"[{_FASTER[found[1]]}]", document
        )
    return document


def _with_hooks(document: dict[str, Any], hooks: Mapping[str, str]) -> dict[str, Any]:
    """Put a hook in the place of each receiver's services."""
    receivers = [
        {"name": one["name"], "webhook_configs": [{"url": hooks[one["name"]], "send_resolved": True}]}
        for one in document["receivers"]
    ]
    return {**document, "receivers": receivers}
