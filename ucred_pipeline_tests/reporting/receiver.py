"""A service that takes notifications over real HTTP, and can be down, slow, or refuse."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Receiver:
    """Takes what apprise posts to a `json://` address, and keeps it."""

    status: int = 200
    slow_s: float = 0
    taken: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.tries += 1
        time.sleep(self.slow_s)
        if self.status < 300:
            self.taken.append(json.loads(body))
        try:
            request.send_response(self.status)
            request.end_headers()
        except OSError:
            return

    def url(self, path: str = "a-secret-path") -> str:
        """The address, as apprise takes it."""
        assert self._server is not None
        return f"json://127.0.0.1:{self._server.server_port}/{path}"

    @property
    def titles(self) -> list[str]:
        """The titles of what was taken, in the order in which it came."""
        return [str(one["title"]) for one in self.taken]

    @property
    def text(self) -> str:
        """All that was taken."""
        return json.dumps(self.taken)
