"""Starts the server of the page: on this machine, or for others with a token."""

import socket
from collections.abc import Callable
from contextlib import closing
from ipaddress import ip_address
from typing import Final

import uvicorn

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.page.answers import Shown
from ucred_pipeline.reporting.page.app import Pages
from ucred_pipeline.reporting.page.connections import PromptProtocol
from ucred_pipeline.reporting.page.guard import Guard
from ucred_pipeline.settings import Settings, SettingsError

_SHORTEST_TOKEN: Final = 16
_MOST_CONNECTIONS: Final = 256


def serve(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until it is stopped; `ready` is told where, once requests are taken."""
    token = token_for(settings, host)
    reader = LedgerReader(settings.ledger_url)
    pages = Pages(Shown(reader, settings.rules, SystemClock()))
    with closing(reader), listen(host, port) as listening:
        ready(_address(host, listening.getsockname()[1]))
        server(pages, token, host).run(sockets=[listening])


def server(pages: Pages, token: str | None, host: str) -> uvicorn.Server:
    """Put the pages behind their guard."""
    config = uvicorn.Config(
        Guard(pages.application(), token, host),
        http=PromptProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def token_for(settings: Settings, host: str) -> str | None:
    """Give the token that is asked for; raise SettingsError where others could look without one."""
    secret = settings.environment.ucred_serve_token
    token = secret.get_secret_value().strip() if secret else None
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise SettingsError(f"UCRED_SERVE_TOKEN: a token has at least {_SHORTEST_TOKEN} characters")
    if token is None and not _is_loopback(host):
        raise SettingsError(
            f"--host {host} can be reached by others: set UCRED_SERVE_TOKEN to at least {_SHORTEST_TOKEN} "
            "characters that nobody can guess, or leave --host away to serve this machine only"
        )
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is said; raise SettingsError where that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        told = error.strerror or str(error)
        raise SettingsError(
            f"cannot listen on {host}, port {port}: {told}; choose another with --host and --port"
        ) from None


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
