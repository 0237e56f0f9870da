"""An exporter over real HTTP whose figures a test sets: all well at first, and then as it says."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Final, Self

from deploy import metrics
from deploy.metrics import Kind, Metric

Labels = tuple[tuple[str, str], ...]
_ENDS: Final = (*map(str, metrics.LATENCY_ENDS), "+Inf")


@dataclass
class Exposition:
    """What `/metrics` answers; without the metrics that are `missing`, and with 503 for one that is down."""

    is_up: bool = True
    is_readable: bool = True
    missing: set[str] = field(default_factory=set)
    _values: dict[tuple[str, Labels], float] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        exposition = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exposition.text().encode()
                self.send_response(200 if exposition.is_up else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.all_is_well()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def place(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_port}"

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Let a series have a value."""
        self._values[metric.name, tuple(labels.items())] = value

    def mint(self, in_time: int, *, failed: int = 0, late: int = 0) -> None:
        """Count mints, and how long they took."""
        everything = in_time + failed + late
        self._add(metrics.MINT_ATTEMPTS.name, everything)
        self._add(metrics.MINT_FAILURES.name, failed, reason="lacking")
        for end in _ENDS:
            quick = in_time if float(end) >= 1 else 0
            self._add(f"{metrics.MINT_LATENCY.name}_bucket", everything if end == "+Inf" else quick, le=end)
        self._add(f"{metrics.MINT_LATENCY.name}_count", everything)

    def _add(self, name: str, count: int, **labels: str) -> None:
        key = name, tuple(labels.items())
        self._values[key] = self._values.get(key, 0) + count

    def let(self, *, is_up: bool = True, is_readable: bool = True) -> None:
        """Let it be down, or unable to read the ledger."""
        self.is_up, self.is_readable = is_up, is_readable

    def all_is_well(self) -> None:
        """Let every figure that is no counter be as it is when nothing needs anybody."""
        for metric in (*metrics.OF_THE_LEDGER, metrics.BUILD):
            for labels in _labels(metric):
                if metric.kind is Kind.GAUGE:
                    self.set(metric, 0, **dict(labels))
                elif metric.kind is Kind.COUNTER:
                    self._add(metric.name, 0, **dict(labels))
        self.mint(0)
        self.set(metrics.LAST_SUCCESS, time.time())
        self.set(metrics.WATERMARK, time.time())
        self.set(metrics.BUILD, 1)

    def text(self) -> str:
        """Write what is exposed now."""
        of_the_ledger = self._values.items() if self.is_readable else ()
        up = ((metrics.DATABASE_UP.name, ()), float(self.is_readable))
        return "".join(_line(key, value) for key, value in (up, *of_the_ledger) if key[0] not in self.missing)


def _labels(metric: Metric) -> Iterator[Labels]:
    names = list(metric.labels)
    for values in product(*metric.labels.values()):
        yield tuple(zip(names, values, strict=True))


def _line(key: tuple[str, Labels], value: float) -> str:
    name, labels = key
    told = ",".join(f'{label}="{text}"' for label, text in labels)
    return f"{name}{{{told}}} {value}\n"
