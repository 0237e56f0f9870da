"""The picture after one run of the demo: what was found and put right, for somebody who never saw it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from sqlalchemy import Connection, select

from ucred_pipeline.domain.answers import AnswerKind
from ucred_pipeline.domain.corrections import AttemptState
from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.ledger.breaks import count_breaks
from ucred_pipeline.ledger.measures import coverage
from ucred_pipeline.ledger.purchases import find_purchase
from ucred_pipeline.ledger.runs import Run
from ucred_pipeline.ledger.schema import attempts, corrections, purchases
from ucred_pipeline.reporting.explanation import events, explain_purchase, step
from ucred_pipeline.reporting.mint_rate import MintRate, percent, recent_mint_rate
from ucred_pipeline.reporting.outlook import Step
from ucred_pipeline.reporting.terminal import part, plain
from ucred_pipeline.reporting.wording import counted, ucred
from ucred_pipeline.settings import Rules

_WHAT_THIS_IS: Final = (
    "Every purchase is owed UCRED. The payments API tries once to credit it, and nobody notices when that "
    "fails. This run compared Stripe's payments, the certificates and the indexer's balances, and credited "
    "what was missing: each purchase once."
)
_BAR: Final = 50
#: Why purchases are left as they are, in plain words, in the order in which they are shown.
_WHY: Final[Mapping[Verdict, str]] = {
    Verdict.LACKING: "is owed its UCRED and does not have it yet",
    Verdict.IN_DOUBT: "a credit was sent and no answer came: it is settled first, never sent twice",
    Verdict.AMBIGUOUS: "the evidence contradicts itself: a person decides",
    Verdict.PENDING: "too young: the payments API may still credit it",
    Verdict.WITHDRAWN: "the customer has the money back, or may: nothing is owed",
    Verdict.UNISSUED: "paid, but no certificate was ever issued",
    Verdict.UNPAID: "a certificate was issued, but nobody paid",
    Verdict.OVER_CREDITED: "more arrived than was owed: shown, never taken back",
    Verdict.FOREIGN: "a payment for another product: no purchase of ours",
}


def picture(
    connection: Connection, run: Run, now: datetime, rules: Rules, commands: Sequence[tuple[str, str]]
) -> RenderableType:
    """Show what a run found and put right; `commands` are where to look further, each with its meaning."""
    return Group(
        "",
        plain("UCRED for every purchase, once", "bold"),
        plain(_WHAT_THIS_IS),
        "",
        part("What was found", _numbers(_found(connection, run))),
        part("What was put right", _numbers(_put_right(connection, run))),
        part("What was left as it is, and why", _numbers(_left(connection, run))),
        part("How well the mint itself works", *_mint(recent_mint_rate(connection, now, rules.thresholds))),
        *_one_purchase(connection, run, now, rules),
        part("Look further", *(step(Step(command, meaning)) for command, meaning in commands)),
    )


def explained(connection: Connection, run: Run) -> str:
    """Name the purchase that tells most: one whose answer was lost, else one corrected, else any."""
    corrected = (
        select(corrections.c.payment_intent)
        .join(attempts, attempts.c.correction == corrections.c.id)
        .where(attempts.c.run_id == run.id)
        .order_by(
            attempts.c.state != AttemptState.APPLIED,
            attempts.c.answer != AnswerKind.NO_ANSWER,
            attempts.c.began,
        )
        .limit(1)
    )
    other = select(purchases.c.payment_intent).order_by(
        purchases.c.verdict != Verdict.LACKING, purchases.c.created
    )
    found = connection.execute(corrected).scalar() or connection.execute(other.limit(1)).scalar()
    return found or ""


def _found(connection: Connection, run: Run) -> Iterator[tuple[int, str, str]]:
    verdicts, owed = run.summary["verdicts"], coverage(connection)
    bought = run.summary["purchases"] - verdicts[Verdict.FOREIGN]
    yield bought, "purchases", "in all, paid or with a certificate"
    yield owed.whole, "owed", "earn UCRED by now: paid, certified, not refunded, not too young"
    yield (
        run.summary["corrections"]["planned"],
        "lacked",
        "of those that are owed: their UCRED had not arrived",
    )


def _put_right(connection: Connection, run: Run) -> Iterator[tuple[int, str, str]]:
    done = run.summary["corrections"]
    applied = _applied(connection, run)
    if not run.applied:
        yield 0, "credited", "this run only planned: it was not allowed to send"
        return
    yield done["confirmed"], "credited", f"now, by this run: {ucred(sum(each.amount for each in applied))}"
    settled = sum(each.answer != AnswerKind.ACKNOWLEDGED for each in applied)
    if settled:
        yield (
            settled,
            "of them settled",
            "no answer came; the log showed the credit, so it was not sent again",
        )
    for name, why in _UNDONE.items():
        if done[name]:
            yield done[name], name.replace("_", " "), why
    if done["held"]:
        yield done["held"], "held", f"not sent: {_words(str(run.summary['hold']))}. {run.detail}"
    share = coverage(connection)
    yield share.part, "have it", f"of the {share.whole} that are owed, after this run ({percent(share)})"


_UNDONE: Final = {
    "refused": "were refused, and had no effect",
    "in_doubt": "got no clear answer, and are settled before anything else is sent",
}


def _applied(connection: Connection, run: Run) -> Sequence[Any]:
    chosen = select(attempts.c.amount, attempts.c.answer).where(
        attempts.c.run_id == run.id, attempts.c.state == AttemptState.APPLIED
    )
    return connection.execute(chosen).all()


def _left(connection: Connection, run: Run) -> Iterator[tuple[int, str, str]]:
    after_credit = count_breaks(connection)[Verdict.WITHDRAWN]
    for verdict, why in _WHY.items():
        count = run.summary["verdicts"][verdict]
        if count:
            yield count, _words(verdict), why
        if verdict is Verdict.WITHDRAWN and after_credit:
            yield after_credit, "of them credited", "before the money went back: shown, never taken back"


def _numbers(rows: Iterator[tuple[int, str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", no_wrap=True, min_width=5)
    grid.add_column(no_wrap=True, min_width=16)
    grid.add_column(overflow="fold")
    for count, name, why in rows:
        grid.add_row(plain(f"{count:,}", "bold"), plain(name), plain(why))
    return grid


def _mint(rate: MintRate) -> Iterator[RenderableType]:
    limits = rate.limits
    limit = f"{limits.mint_success_percent:g}%"
    yield plain(f"{_bar(rate)}  {rate.percent}   {rate.state.upper()}")
    yield plain(f"{' ' * _place(limits.mint_success_percent)}^ limit {limit}")
    numbers = f"{rate.share.part} of {counted(rate.share.whole, 'purchase')} of the last"
    yield plain(
        f"{numbers} {_days(limits.mint_success_window_hours)} were credited by the payments API itself; "
        f"an alert is raised below {limit}."
    )


def _bar(rate: MintRate) -> str:
    """Draw the rate; a bar that is full is a rate of 100%, and no less."""
    filled = rate.share.part * _BAR // rate.share.whole if rate.share.whole else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def _place(limit_percent: float) -> int:
    return 1 + int(limit_percent * _BAR // 100)


def _days(hours: int) -> str:
    return counted(hours // 24, "day") if hours % 24 == 0 else counted(hours, "hour")


def _one_purchase(connection: Connection, run: Run, now: datetime, rules: Rules) -> Iterator[RenderableType]:
    found = find_purchase(connection, explained(connection, run))
    if found is None:
        return
    told = explain_purchase(connection, found, now, rules)
    name = found.namespace or found.payment_intent
    verdict = plain(f"{_words(found.verdict or 'not judged').upper()}: {told.meaning}")
    yield part(f"One purchase, from payment to credit: {name} (times in UTC)", events(told.timeline), verdict)


def _words(name: str) -> str:
    return name.replace("_", " ")
