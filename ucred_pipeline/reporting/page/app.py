"""The pages, /metrics and /healthz over HTTP; nothing here writes."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.ledger.break_lists import (
    AgeBand,
    BreakFilter,
    BreakOrder,
    breaks_that_match,
    page_of_breaks,
)
from ucred_pipeline.ledger.breaks import KINDS, payment_of_break
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.measures import Windows
from ucred_pipeline.ledger.purchases import find_purchase, purchases_among
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.breaks import csv_text, document_of
from ucred_pipeline.reporting.explanation import (
    evidence_facts,
    explain_purchase,
    is_known,
    no_purchase,
    purchase_facts,
    purchases_named,
    request_facts,
)
from ucred_pipeline.reporting.exporter import CONTENT_TYPE, metrics_text
from ucred_pipeline.reporting.page.charts import Span
from ucred_pipeline.reporting.page.dashboard import read_dashboard
from ucred_pipeline.reporting.page.looks import Looks
from ucred_pipeline.reporting.terminal import iso
from ucred_pipeline.reporting.timeline import days
from ucred_pipeline.settings import Rules

_PAGE: Final = 50
_MOST_FOUND: Final = 200
_LONGEST_SEARCH: Final = 4096
#: Within this the one field of the search has come.
_PATIENCE_S: Final = 2.0
#: Whoever looks waits in turn for one of these; /metrics and /healthz wait behind nobody.
_PAGES_AT_ONCE: Final = 8
_A_YEAR: Final = "private, max-age=31536000, immutable"
_REFUSALS: Final[Mapping[int, str]] = {
    400: "There is no such kind, or no such age, of breaks.",
    404: "There is no such page.",
    405: "This address does not take such requests.",
    408: "The search did not come whole.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pages are made from."""

    reader: LedgerReader
    rules: Rules
    clock: Clock


class Pages:
    """Answers each request from one snapshot of the ledger."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._looks = Looks(shown.rules.serve.dagster_url)
        self._turns = CapacityLimiter(_PAGES_AT_ONCE)

    def application(self) -> Starlette:
        """Put the pages at their addresses; none of them ever holds a customer's."""
        routes = [
            Route("/", self._in_turn(self._first)),
            Route("/breaks", self._in_turn(self._breaks)),
            Route("/breaks.csv", self._in_turn(self._csv)),
            Route("/breaks/{name}", self._in_turn(self._break)),
            Route("/purchases/{name:path}", self._in_turn(self._purchase)),
            Route("/search", self._search, methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/static/{name}", self._static),
        ]
        handlers: dict[Any, Any] = {HTTPException: self._refused, Exception: self._fault}
        application = Starlette(routes=[*routes, *map(_with_slash, routes)], exception_handlers=handlers)
        application.router.redirect_slashes = False  # Starlette redirects to the Host of the request
        return application

    def _in_turn(
        self, page: Callable[[Request], Response]
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Make a page in a thread, a few at a time."""

        async def answered(request: Request) -> Response:
            return await to_thread.run_sync(page, request, limiter=self._turns)

        return answered

    def _first(self, request: Request) -> Response:
        span = _chosen(Span, request.query_params.get("range")) or Span.DAY

        def answer(connection: Connection, now: datetime) -> Response:
            limits = self._shown.rules.thresholds
            board = read_dashboard(connection, span, limits, now)
            return self._html("dashboard.html", board=board, now=now, spans=list(Span), bands=list(AgeBand))

        return self._read(answer)

    def _breaks(self, request: Request) -> Response:
        wanted, asked = _filter_of(request), request.query_params
        order = _chosen(BreakOrder, asked.get("sort")) or BreakOrder.OLDEST
        after = _without_nul(asked.get("after", ""))

        def answer(connection: Connection, now: datetime) -> Response:
            found = page_of_breaks(connection, wanted, order, after, _PAGE, now)
            narrowed = {"kind": wanted.kind, "age": wanted.band}
            return self._html(
                "breaks.html",
                found=found,
                wanted=wanted,
                order=order,
                is_first=not after,
                orders=list(BreakOrder),
                kinds=KINDS,
                bands=list(AgeBand),
                next_page=_query(**narrowed, sort=order, after=found.next) if found.next else None,
                first_page=_query(**narrowed, sort=order),
                csv=_query(**narrowed),
                now=now,
            )

        return self._read(answer)

    def _csv(self, request: Request) -> Response:
        wanted = _filter_of(request)

        def answer(connection: Connection, now: datetime) -> Response:
            found = breaks_that_match(connection, wanted, now)
            name = f"ucred-breaks-{now:%Y-%m-%dT%H%M%SZ}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            text = csv_text(document_of(found, now))
            return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

        return self._read(answer)

    def _break(self, request: Request) -> Response:
        name = _without_nul(request.path_params["name"])

        def answer(connection: Connection, now: datetime) -> Response:
            payment_intent = payment_of_break(connection, name)
            if payment_intent is None:
                return self._unknown("No break has this id.")
            return self._one_purchase(connection, payment_intent, now, name)

        return self._read(answer)

    def _purchase(self, request: Request) -> Response:
        name = _without_nul(request.path_params["name"])
        return self._read(lambda connection, now: self._one_purchase(connection, name, now))

    def _one_purchase(
        self, connection: Connection, payment_intent: str, now: datetime, break_id: str | None = None
    ) -> Response:
        purchase = find_purchase(connection, payment_intent)
        if purchase is None:
            if not is_known(connection, payment_intent):
                return self._unknown("No purchase and no payment has this name.")
            other = no_purchase(connection, payment_intent)
            return self._html("no_purchase.html", other=other, now=now)
        found = explain_purchase(connection, purchase, now, self._shown.rules)
        return self._html(
            "purchase.html",
            found=found,
            bought=purchase,
            break_id=break_id,
            days=list(days(found.timeline)),
            facts=list(purchase_facts(found)),
            evidence=list(evidence_facts(found.file)),
            requests={one.id: found.file.attempts_of(one) for one in found.file.corrections},
            request_facts=request_facts,
            now=now,
        )

    async def _search(self, request: Request) -> Response:
        name = await _searched(request)
        return await to_thread.run_sync(self._found, name, limiter=self._turns)

    def _found(self, name: str) -> Response:
        def answer(connection: Connection, now: datetime) -> Response:
            names, exact = purchases_named(connection, name) if name else ([], True)
            if len(names) == 1 and exact:
                return RedirectResponse(f"/purchases/{quote(names[0], safe='')}", 303)
            listed = names[:_MOST_FOUND]
            return self._html(
                "search.html",
                status=200 if names else 404,
                name=name,
                exact=exact,
                count=len(names),
                purchases=purchases_among(connection, listed),
                others=[
                    no_purchase(connection, one) for one in listed if find_purchase(connection, one) is None
                ],
                now=now,
            )

        return self._read(answer)

    def _metrics(self, _request: Request) -> Response:
        limits = self._shown.rules.thresholds
        windows = Windows.of(limits.mint_success_window_hours, limits.failed_runs_window_hours)
        text = metrics_text(self._shown.reader, windows, self._shown.clock)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    def _health(self, _request: Request) -> Response:
        try:
            with self._shown.reader.read():
                return JSONResponse({"status": "ok"})
        except LedgerUnusable:
            return JSONResponse({"status": "the ledger cannot be read"}, 503)

    def _static(self, request: Request) -> Response:
        file = self._looks.files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": _A_YEAR})

    def _read(self, answer: Callable[[Connection, datetime], Response]) -> Response:
        """Answer from one snapshot; where there is none, say why."""
        now = self._shown.clock.now()
        try:
            with self._shown.reader.read() as connection:
                return answer(connection, now)
        except LedgerUnusable as error:
            told = {"told": str(error), "place": self._shown.reader.place, "now": now}
            return self._html("unreadable.html", status=503, **told)

    def _html(self, template: str, status: int = 200, **told: Any) -> Response:
        return HTMLResponse(self._looks.page(template, iso_now=iso(told["now"]), **told), status)

    def _unknown(self, told: str, status: int = 404) -> Response:
        return self._html("unknown.html", status, told=told, now=self._shown.clock.now())

    def _refused(self, _request: Request, error: HTTPException) -> Response:
        told = _REFUSALS.get(error.status_code, "This cannot be answered.")
        answer = self._unknown(told, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _fault(self, _request: Request, _error: Exception) -> Response:
        """Say that it is our fault, and nothing that could hold a row of the ledger."""
        return self._unknown("A fault of the pipeline. The terminal of `ucred serve` says more.", 500)


def _with_slash(route: Route) -> Route:
    """Give the address of a page with a slash behind it, which leads to the one without."""
    return Route(f"{route.path}/", _without_slash, methods=route.methods)


async def _without_slash(request: Request) -> Response:
    """Redirect by the path alone, so that a forged Host leads nowhere else."""
    path, asked = quote(request.scope["path"].strip("/")), request.scope["query_string"].decode("latin-1")
    return RedirectResponse(f"/{path}?{asked}" if asked else f"/{path}")


def _chosen(choices: Any, name: str | None) -> Any:
    """Give the choice of a name; None for a name that is none."""
    return next((choice for choice in choices if choice.value == name), None)


def _filter_of(request: Request) -> BreakFilter:
    """Read what is looked at; what is misspelt is refused, or a list of some would be one of all."""
    kind, age = (request.query_params.get(name) or None for name in ("kind", "age"))
    band = _chosen(AgeBand, age)
    if (kind is not None and kind not in KINDS) or (age is not None and band is None):
        raise HTTPException(400)
    return BreakFilter(kind, band)


def _query(**told: str | None) -> str:
    return urlencode({name: value for name, value in told.items() if value})


async def _searched(request: Request) -> str:
    """Read the one field of the form; a customer's address never stands in a URL."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            body = await _body(request)
    except (ClientDisconnect, TimeoutError):
        raise HTTPException(408) from None
    fields = parse_qs(body.decode(errors="replace"))
    return _without_nul(fields.get("name", [""])[0].strip())


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_SEARCH:
            raise HTTPException(413)
    return body


def _without_nul(name: str) -> str:
    """Replace what PostgreSQL takes in no text, so that it is the name of nothing there, too."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")
