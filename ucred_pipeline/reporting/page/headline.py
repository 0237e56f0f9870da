"""The first line of the page: one sentence on where things stand, the gravest first, and how old it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ucred_pipeline.domain.alerts import EVERY
from ucred_pipeline.domain.runs import FAILED, Outcome
from ucred_pipeline.domain.thresholds import STALE, Reading
from ucred_pipeline.ledger.plans import Withheld
from ucred_pipeline.ledger.runs import Run
from ucred_pipeline.ledger.safety import Hold
from ucred_pipeline.reporting.page.alerts import SeenAlerts
from ucred_pipeline.reporting.page.figures import Figure, State
from ucred_pipeline.reporting.page.words import age, ago, lies_ahead, words
from ucred_pipeline.reporting.wording import counted, lasting
from ucred_pipeline.settings import Thresholds

#: Alerts that nobody has evaluated for so long say nothing of now.
_ALERTS_LATE: Final = 10 * EVERY


@dataclass(frozen=True, slots=True)
class Headline:
    """A word for the state, a sentence, and the age of the data."""

    state: State
    word: str
    sentence: str
    data: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What the headline is made of."""

    newest: Run | None
    ended: Run | None
    holds: Sequence[Hold]
    withheld: Sequence[Withheld]
    figures: Sequence[Figure]
    alerts: SeenAlerts | None
    open_breaks: int
    totals_tie: bool
    limits: Thresholds


def headline(standing: Standing, now: datetime) -> Headline:
    """Say where things stand."""
    if standing.newest is None:
        told = "Start with `ucred doctor`, then `ucred reconcile`."
        return Headline(State.UNKNOWN, "Nothing has run yet.", told, "no data")
    state, word = _state(standing, now)
    return Headline(state, word, _sentence(standing, now), _age(standing, now))


def _state(standing: Standing, now: datetime) -> tuple[State, str]:
    """Say the gravest thing in words; the state is the worst of it and the figures."""
    figures = _of_the_figures(standing)
    state, word = next(_grave(standing, now), figures)
    return max(state, figures[0], key=_rank), word


def _grave(standing: Standing, now: datetime) -> Iterator[tuple[State, str]]:
    """What says more than any figure, the gravest first."""
    if standing.holds:
        yield State.CRITICAL, "Held: nothing is sent until a person releases it."
    if standing.newest is not None and standing.newest.outcome in FAILED:
        yield State.CRITICAL, f"The last run failed: {words(standing.newest.outcome.value)}."
    if standing.ended is None:
        yield State.INFO, "The first run is under way."
    elif _is_stale(standing.ended, standing.limits, now):
        lasted = age(_end(standing.ended), now)
        yield State.CRITICAL, f"Stale: no run has come to its end for {lasted}."
    if not standing.totals_tie:
        yield State.CRITICAL, "A control total does not tie."
    if standing.withheld:
        yield State.WARNING, "A plan is withheld and waits for an approval."
    if standing.newest is not None and standing.newest.outcome is Outcome.HELD:
        yield State.WARNING, "The last run was held: nothing more was sent."
    if standing.alerts is not None and _is_late(standing.alerts, now):
        lasted = age(standing.alerts.looked, now)
        yield State.WARNING, f"The alerts have not been evaluated for {lasted}."


def _of_the_figures(standing: Standing) -> tuple[State, str]:
    firing = standing.alerts.firing if standing.alerts else ()
    states = [*(figure.state for figure in standing.figures), *(alert.state for alert in firing)]
    worst = max(map(_rank, states))
    if worst >= _rank(State.WARNING) or standing.open_breaks:
        return list(State)[max(worst, _rank(State.WARNING))], "Needs attention."
    return State.GOOD, "All is well."


def _rank(state: State) -> int:
    return list(State).index(state)


def _is_stale(run: Run, limits: Thresholds, now: datetime) -> bool:
    lasted = Reading((now - _end(run)) / timedelta(seconds=1))
    return bool(STALE.is_bad(lasted, limits.by_key))


def _is_late(alerts: SeenAlerts, now: datetime) -> bool:
    return now - alerts.looked > _ALERTS_LATE


def _end(run: Run) -> datetime:
    return run.finished or run.began


def _sentence(standing: Standing, now: datetime) -> str:
    told = []
    if standing.alerts is not None:
        told.append(_of_the_alerts(standing.alerts, now))
    opened = standing.open_breaks
    told.append(f"{counted(opened, 'break')} {'is' if opened == 1 else 'are'} open.")
    for state in (State.CRITICAL, State.WARNING):
        named = [figure.title.lower() for figure in standing.figures if figure.state is state]
        if named:
            told.append(f"{state.text}: {', '.join(named)}.")
    return " ".join(told)


def _of_the_alerts(alerts: SeenAlerts, now: datetime) -> str:
    """Say how many fire, or did when somebody looked last."""
    firing, is_one = counted(alerts.count, "alert"), alerts.count == 1
    if _is_late(alerts, now):
        return f"{firing} {'was' if is_one else 'were'} firing {ago(alerts.looked, now)}."
    return f"{firing} {'is' if is_one else 'are'} firing."


def _age(standing: Standing, now: datetime) -> str:
    newest, ended = standing.newest, standing.ended
    running = ""
    if newest is not None and newest.outcome is Outcome.RUNNING:
        running = f"A run began {ago(newest.began, now)}. "
    if ended is None:
        return f"{running}No run has come to its end"
    return f"{running}Last run ended {ago(_end(ended), now)} · {_currency(ended, standing.limits, now)}"


def _currency(ended: Run, limits: Thresholds, now: datetime) -> str:
    if lies_ahead(_end(ended), now):
        return "the age of the data is not known"
    return f"older than {lasting(limits.stale_s)}" if _is_stale(ended, limits, now) else "data is current"
