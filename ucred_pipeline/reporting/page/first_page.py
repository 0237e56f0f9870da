"""The first page."""

from datetime import datetime

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from ucred_pipeline.ledger.break_lists import AgeBand
from ucred_pipeline.reporting.page.answers import Answers
from ucred_pipeline.reporting.page.asked import chosen
from ucred_pipeline.reporting.page.charts import Span
from ucred_pipeline.reporting.page.dashboard import read_dashboard


def first(answers: Answers, request: Request) -> Response:
    """Show how everything stands, with charts over the span that is asked for."""
    span = chosen(Span, request.query_params.get("range")) or Span.DAY

    def answer(connection: Connection, now: datetime) -> Response:
        board = read_dashboard(connection, span, answers.shown.rules.thresholds, now)
        return answers.html("dashboard.html", board=board, now=now, spans=list(Span), bands=list(AgeBand))

    return answers.read(answer)
