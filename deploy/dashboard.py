"""Grafana's dashboard file: the figures with their limits, laid out below each other."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos, Threshold, ThresholdsMode

from deploy.dashboard_figures import Figure, Limit, Look, Query, Row, rows
from deploy.rules import SERVICE
from ucred_pipeline.settings import Thresholds

_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_GOOD, _BAD = "green", "red"
_WHOLE_WIDTH: Final = 24

Panel = stat.Panel | timeseries.Panel | statetimeline.Panel


def text(limits: Thresholds) -> str:
    """Write the dashboard's file."""
    return json.dumps(_board(limits), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _board(limits: Thresholds) -> Any:
    told = "What became of the mints, what lacks, what waits, and what keeps the pipeline from sending."
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    board = dashboard.Dashboard("UCRED").uid(SERVICE).description(told).tags([SERVICE])
    board.timezone("utc").time("now-7d", "now").refresh("1m").readonly().with_variable(source)
    for panel in _laid_out(rows(limits)):
        board.with_panel(panel)
    return board.build()


def _laid_out(shown: Sequence[Row]) -> Iterator[Panel]:
    """Give every panel an id and a place; Grafana's own builder gives neither."""
    number, top = 0, 0
    for row in shown:
        width = _WHOLE_WIDTH // len(row.figures)
        for place, figure in enumerate(row.figures):
            number += 1
            yield (
                _panel(row.look, figure)
                .id(number)
                .grid_pos(GridPos(h=row.height, w=width, x=place * width, y=top))
            )
        top += row.height


def _panel(look: Look, figure: Figure) -> Panel:
    panel = _LOOKS[look](figure)
    panel.title(figure.title).description(figure.told).unit(figure.unit).datasource(_SOURCE)
    for letter, query in zip(ascii_uppercase, figure.queries, strict=False):
        panel.with_target(_asked(letter, query, now=look is Look.NUMBER))
    return panel


def _asked(letter: str, query: Query, *, now: bool) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(_SOURCE)
    asked.legend_format(query.legend)
    return asked.instant() if now else asked.range()


def _number(figure: Figure) -> stat.Panel:
    panel = stat.Panel().graph_mode(common.BigValueGraphMode.NONE).no_value("unknown")
    panel.reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    if figure.limit is None:
        return panel.color_mode(common.BigValueColorMode.NONE)
    return panel.color_mode(common.BigValueColorMode.VALUE).thresholds(_coloured(figure.limit))


def _lines(figure: Figure) -> timeseries.Panel:
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    panel = timeseries.Panel().line_width(1).show_points(common.VisibilityMode.NEVER).tooltip(tooltip)
    if figure.is_stacked:
        panel.fill_opacity(20).stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if figure.limit is not None:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_drawn(figure.limit)).thresholds_style(dashed)
    return panel


def _states(_figure: Figure) -> statetimeline.Panel:
    return statetimeline.Panel().no_value("none")


_LOOKS: Final[Mapping[Look, Callable[[Figure], Panel]]] = {
    Look.NUMBER: _number,
    Look.LINES: _lines,
    Look.STATES: _states,
}


def _coloured(limit: Limit) -> dashboard.ThresholdsConfig:
    """Grafana colours from a value on; what is counted is bad from the next number on."""
    return _steps(limit, limit.at + limit.step)


def _drawn(limit: Limit) -> dashboard.ThresholdsConfig:
    """The line is the limit itself."""
    return _steps(limit, limit.at)


def _steps(limit: Limit, at: float) -> dashboard.ThresholdsConfig:
    low, high = (_BAD, _GOOD) if limit.is_floor else (_GOOD, _BAD)
    steps = [Threshold(value=None, color=low), Threshold(value=at, color=high)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
