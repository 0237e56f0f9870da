"""Real servers on loopback, in a thread of their own with an event loop of their own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

HOST: Final = "127.0.0.1"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class DateHeader:
    """The text of the `Date` header, written once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def at(self, moment: datetime) -> str:
        """Write the moment as HTTP does."""
        second = int(moment.timestamp())
        if second != self._second:
            self._second, self._text = second, format_datetime(moment.astimezone(UTC), usegmt=True)
        return self._text


class Server:
    """One handler on one port, which it keeps when it stops listening for a while."""

    def __init__(self, handler: Handler, port: int) -> None:
        self._handler = handler
        self.port = port
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def base(self) -> str:
        """The address to be called at."""
        return f"http://{HOST}:{self.port}"

    async def listen(self) -> None:
        """Accept connections."""
        if self._site is not None:
            return
        server = web.Server(self._handler, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, HOST, self.port, backlog=1024)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Close every connection, and accept none."""
        runner, self._runner, self._site = self._runner, None, None
        if runner is None:
            return
        if runner.server is not None:
            for connection in runner.server.connections:
                connection.force_close()
        await runner.cleanup()


class ServerThread:
    """The event loop that all servers of a sandbox share, so that tests can be synchronous."""

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def start(self) -> None:
        """Begin to serve what is given to `do`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the loop and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def stop(self) -> None:
        """End the loop and its thread."""
        self.do(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)
        self._loop.close()


def drop(request: web.BaseRequest) -> web.Response:
    """Cut the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def break_off(request: web.BaseRequest, answer: web.Response) -> web.Response:
    """Promise the whole answer, send half of it, and close the connection."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    if request.transport is not None:
        request.transport.write(_head(answer, len(body)) + body[: len(body) // 2])
        request.transport.close()
    return web.Response()


async def hang(request: web.BaseRequest, answer: web.Response, seconds: float) -> web.Response:
    """Send the head at once and nothing more for a long time."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    if request.transport is not None:
        request.transport.write(_head(answer, len(body)))
        await asyncio.sleep(seconds)
        return drop(request)
    return web.Response()


def _head(answer: web.Response, length: int) -> bytes:
    lines = [f"{name}: {value}" for name, value in answer.headers.items() if name != "Content-Length"]
    status = f"HTTP/1.1 {answer.status} {answer.reason}"
    return "\r\n".join([status, *lines, f"Content-Length: {length}", "", ""]).encode()


def error_page(status: int) -> web.Response:
    """An HTML page as a proxy answers it."""
    text = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\r\n"
    return web.Response(status=status, text=text, content_type="text/html")
