"""Everything on the first page, read from one snapshot of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from ucred_pipeline.ledger.break_lists import (
    AgeBand,
    BreakFilter,
    BreakOrder,
    BreakPage,
    OpenBreaks,
    breaks_by_age,
    page_of_breaks,
)
from ucred_pipeline.ledger.plans import Withheld, plans_waiting
from ucred_pipeline.ledger.reads import Source
from ucred_pipeline.ledger.runs import Run, last_reconciled, last_run, recent_runs
from ucred_pipeline.ledger.safety import Hold, open_holds
from ucred_pipeline.reporting.page.alerts import SeenAlerts, see_alerts
from ucred_pipeline.reporting.page.charts import (
    Chart,
    Span,
    latency_chart,
    success_chart,
)
from ucred_pipeline.reporting.page.figures import Figure, mint_figures, read_figures
from ucred_pipeline.reporting.page.headline import Headline, Standing, headline
from ucred_pipeline.reporting.page.points import read_points
from ucred_pipeline.reporting.page.totals import ControlTotals, read_totals
from ucred_pipeline.reporting.status import WHAT_TO_DO, source_document
from ucred_pipeline.settings import Thresholds

_RUNS: Final = 8
_OLDEST: Final = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the first page shows, from top to bottom."""

    now: datetime
    span: Span
    headline: Headline
    holds: Sequence[tuple[Hold, str]]
    withheld: Sequence[Withheld]
    figures: Sequence[Figure]
    totals: ControlTotals
    charts: Sequence[Chart]
    matrix: Mapping[str, OpenBreaks]
    alerts: SeenAlerts | None
    runs: Sequence[Run]
    sources: Sequence[Mapping[str, Any]]
    oldest: BreakPage

    @property
    def by_band(self) -> dict[AgeBand, int]:
        """How many breaks of all kinds are in each band of age."""
        return {band: sum(opened.by_band[band] for opened in self.matrix.values()) for band in AgeBand}


def read_dashboard(connection: Connection, span: Span, limits: Thresholds, now: datetime) -> Dashboard:
    """Read the first page."""
    matrix = breaks_by_age(connection, now)
    points = read_points(connection, span, limits, now)
    figures = [*mint_figures(points, limits), *read_figures(connection, matrix, limits, now)]
    totals, runs, seen = read_totals(connection), recent_runs(connection, _RUNS), see_alerts(connection, now)
    if totals.counted is None:
        figures = [figure.before_judging() for figure in figures]
    holds, withheld = open_holds(connection), plans_waiting(connection)
    standing = Standing(
        newest=last_run(connection, now),
        ended=last_reconciled(connection, now),
        holds=holds,
        withheld=withheld,
        figures=figures,
        alerts=seen,
        open_breaks=sum(opened.count for opened in matrix.values()),
        totals_tie=totals.all_tie,
        limits=limits,
    )
    return Dashboard(
        now=now,
        span=span,
        headline=headline(standing, now),
        holds=[(hold, WHAT_TO_DO[hold.kind]) for hold in holds],
        withheld=withheld,
        figures=figures,
        totals=totals,
        charts=[success_chart(points, span, limits), latency_chart(points, span, limits)],
        matrix=matrix,
        alerts=seen,
        runs=runs,
        sources=[source_document(connection, source, now) for source in Source],
        oldest=page_of_breaks(connection, BreakFilter(), BreakOrder.OLDEST, None, _OLDEST, now),
    )
