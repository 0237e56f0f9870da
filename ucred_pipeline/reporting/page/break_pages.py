"""The open breaks: a page of them at a time, and all of them as CSV."""

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ucred_pipeline.ledger.break_lists import (
    AgeBand,
    BreakFilter,
    BreakOrder,
    breaks_that_match,
    page_of_breaks,
)
from ucred_pipeline.ledger.breaks import KINDS
from ucred_pipeline.reporting.breaks import csv_text, document_of
from ucred_pipeline.reporting.page.answers import Answers
from ucred_pipeline.reporting.page.asked import chosen, without_nul

_PAGE: Final = 50


def listed(answers: Answers, request: Request) -> Response:
    """Show a page of the breaks, filtered and sorted as is asked for."""
    wanted, asked = _filter_of(request), request.query_params
    order = chosen(BreakOrder, asked.get("sort")) or BreakOrder.OLDEST
    after = without_nul(asked.get("after", ""))

    def answer(connection: Connection, now: datetime) -> Response:
        found = page_of_breaks(connection, wanted, order, after, _PAGE, now)
        narrowed = {"kind": wanted.kind, "age": wanted.band}
        return answers.html(
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

    return answers.read(answer)


def as_csv(answers: Answers, request: Request) -> Response:
    """Give all of the breaks that are asked for."""
    wanted = _filter_of(request)

    def answer(connection: Connection, now: datetime) -> Response:
        found = breaks_that_match(connection, wanted, now)
        name = f"ucred-breaks-{now:%Y-%m-%dT%H%M%SZ}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        text = csv_text(document_of(found, now))
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    return answers.read(answer)


def _filter_of(request: Request) -> BreakFilter:
    """Read what is looked at; what is misspelt is refused, or a list of some would be one of all."""
    kind, age = (request.query_params.get(name) or None for name in ("kind", "age"))
    band = chosen(AgeBand, age)
    if (kind is not None and kind not in KINDS) or (age is not None and band is None):
        raise HTTPException(400)
    return BreakFilter(kind, band)


def _query(**told: str | None) -> str:
    return urlencode({name: value for name, value in told.items() if value})
