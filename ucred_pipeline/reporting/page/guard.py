"""Who may look, and what a browser may do with an answer."""

import logging
import traceback
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A page that nothing may change: no script or style but ours, no other host, no frame around it.
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: Says only that the ledger can be read, for whoever restarts processes.
OPEN_TO_ALL: Final = "/healthz"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


_log: Final = logging.getLogger("ucred")


class Guard:
    """Lets those in who may look, and sends the headers of safety with every answer.

    Without a token only this machine is served, and then only under a name of this machine: a page of
    another name, which a browser was made to believe is here, is none of ours.
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._names = _LOOPBACK | {host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope["path"], Headers(scope=scope)) or self._app
        try:
            await answer(scope, receive, _with_headers(send))
        except Exception as error:  # noqa: BLE001 - it was answered; its text could hold a row of the ledger
            _log.error("%s", _place_of(error))

    def _refusal(self, path: str, headers: Headers) -> PlainTextResponse | None:
        if self._token is None:
            known = _host_in(headers.get("host", "")) in self._names
            told = "This name is not served here. Use http://127.0.0.1 or http://localhost.\n"
            return None if known else PlainTextResponse(told, 421)
        if path == OPEN_TO_ALL or self._has_token(headers.get("authorization", "")):
            return None
        asks = {"WWW-Authenticate": 'Basic realm="UCRED", charset="UTF-8"'}
        return PlainTextResponse("Give UCRED_SERVE_TOKEN as the password; any user name does.\n", 401, asks)

    def _has_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        secret = given.strip().encode("latin-1")  # as it was sent
        if scheme.lower() == "basic":
            try:
                secret = b64decode(secret, validate=True).partition(b":")[2]
            except NoBase64:
                return False
        elif scheme.lower() != "bearer":
            return False
        return self._token is not None and compare_digest(secret, self._token)


def _host_in(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _place_of(error: Exception) -> str:
    """Say what kind of fault it was, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "ucred_pipeline" in frame.filename]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"a fault of the page: {type(error).__name__}{place}. Please report it."
