"""The pages, /metrics and /healthz over HTTP; nothing here writes.

What makes a page is loaded when the page is first asked for, so that the server starts at once.
"""

from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from typing import Any, Final
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.reporting.page.answers import Answers, Shown
from ucred_pipeline.reporting.page.asked import searched

#: Whoever looks waits in turn for one of these; /metrics and /healthz wait behind nobody.
_PAGES_AT_ONCE: Final = 8
_A_YEAR: Final = "private, max-age=31536000, immutable"
_REFUSALS: Final[Mapping[int, str]] = {
    400: "There is no such kind, or no such age, of breaks.",
    404: "There is no such page.",
    405: "This address does not take such requests.",
    408: "The search did not come whole.",
}


class Pages:
    """Finds who answers a request; none of the addresses ever holds a customer's."""

    def __init__(self, shown: Shown) -> None:
        self._answers = Answers(shown)
        self._turns = CapacityLimiter(_PAGES_AT_ONCE)

    def application(self) -> Starlette:
        """Put the pages at their addresses."""
        routes = [
            Route("/", self._page("first_page", "first")),
            Route("/breaks", self._page("break_pages", "listed")),
            Route("/breaks.csv", self._page("break_pages", "as_csv")),
            Route("/breaks/{name}", self._page("purchase_pages", "of_break")),
            Route("/purchases/{name:path}", self._page("purchase_pages", "of_payment")),
            Route("/search", self._search, methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/static/{name}", self._static),
        ]
        handlers: dict[Any, Any] = {HTTPException: self._refused, Exception: self._fault}
        application = Starlette(routes=[*routes, *map(_with_slash, routes)], exception_handlers=handlers)
        application.router.redirect_slashes = False  # Starlette redirects to the Host of the request
        return application

    def _page(self, module: str, name: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Let a function of a module answer, in a thread, a few at a time."""

        async def answered(request: Request) -> Response:
            return await self._in_turn(module, name, request)

        return answered

    async def _search(self, request: Request) -> Response:
        return await self._in_turn("purchase_pages", "found", await searched(request))

    async def _in_turn(self, module: str, name: str, asked: Request | str) -> Response:
        def answer() -> Response:
            page: Callable[[Answers, Request | str], Response]
            page = getattr(import_module(f".{module}", __package__), name)
            return page(self._answers, asked)

        return await to_thread.run_sync(answer, limiter=self._turns)

    def _metrics(self, _request: Request) -> Response:
        from ucred_pipeline.ledger.measures import Windows  # noqa: PLC0415
        from ucred_pipeline.reporting.exporter import CONTENT_TYPE, metrics_text  # noqa: PLC0415

        shown = self._answers.shown
        limits = shown.rules.thresholds
        windows = Windows.of(limits.mint_success_window_hours, limits.failed_runs_window_hours)
        text = metrics_text(shown.reader, windows, shown.clock)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    def _health(self, _request: Request) -> Response:
        try:
            with self._answers.shown.reader.read():
                return JSONResponse({"status": "ok"})
        except LedgerUnusable:
            return JSONResponse({"status": "the ledger cannot be read"}, 503)

    def _static(self, request: Request) -> Response:
        file = self._answers.looks.files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": _A_YEAR})

    def _refused(self, _request: Request, error: HTTPException) -> Response:
        told = _REFUSALS.get(error.status_code, "This cannot be answered.")
        answer = self._answers.unknown(told, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _fault(self, _request: Request, _error: Exception) -> Response:
        """Say that it is our fault, and nothing that could hold a row of the ledger."""
        return self._answers.unknown("A fault of the pipeline. The terminal of `ucred serve` says more.", 500)


def _with_slash(route: Route) -> Route:
    """Give the address of a page with a slash behind it, which leads to the one without."""
    return Route(f"{route.path}/", _without_slash, methods=route.methods)


async def _without_slash(request: Request) -> Response:
    """Redirect by the path alone, so that a forged Host leads nowhere else."""
    path, asked = quote(request.scope["path"].strip("/")), request.scope["query_string"].decode("latin-1")
    return RedirectResponse(f"/{path}?{asked}" if asked else f"/{path}")
