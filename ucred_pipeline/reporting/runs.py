"""What a run came to, for a terminal."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ucred_pipeline.ledger.runs import Run

_VERDICTS = {
    "credited": "have their UCRED",
    "lacking": "lack it",
    "pending": "are still within the grace period, or wait for evidence",
    "in_doubt": "have a credit that may or may not have arrived",
    "ambiguous": "have evidence that cannot decide: a person must",
    "withdrawn": "were refunded, disputed or voided",
    "unissued": "are paid and have no certificate",
    "unpaid": "have a certificate and are not paid",
    "over_credited": "were credited too often",
    "foreign": "are payments for other products",
}


def render(run: Run) -> RenderableType:
    """Show a run's figures: what was found, what was done, and what is left."""
    told = run.summary
    return Group(_opening(run), _verdicts(told["verdicts"]), _corrections(told), _closing(told))


def _opening(run: Run) -> Text:
    told, days = run.summary, "all that is open"
    if told["from"] or told["to"]:
        days = f"{told['from'] or 'the beginning'} to {told['to'] or 'today'}"
    seconds = ((run.finished or run.began) - run.began) / timedelta(seconds=1)
    return Text(f"Reconciled {days} in {seconds:.1f} s; {_sent(told)}.\n")


def _sent(told: Mapping[str, Any]) -> str:
    counts = told["corrections"]
    held = bool(told["hold"] or counts["held"])
    if told["mode"] != "apply":
        return "nothing was sent: this was a plan"
    if counts["confirmed"] or counts["refused"] or counts["in_doubt"]:
        return "credits were sent, and others held back" if held else "credits were sent where they lacked"
    return "nothing was sent: it is held back" if held else "nothing had to be sent"


def _verdicts(counts: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    for verdict, count in counts.items():
        if count:
            table.add_row(f"{count:,}", verdict, Text(_VERDICTS[verdict], style="dim"))
    return table


def _corrections(told: Mapping[str, Any]) -> Text:
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in told["corrections"].items())
    return Text(f"\nCorrections: {counts}.")


def _closing(told: Mapping[str, Any]) -> Text:
    rate = told["mint_success_rate"]
    lines = [f"Mint success: {rate:.1%}." if rate is not None else "Mint success: no purchase in the window."]
    if told["hold"]:
        lines.append(f"Held: {told['hold']}.")
    if told["plan"]:
        lines.append(f"Plan: {told['plan'][:12]}")
    lines.append(
        f"Open breaks: {told['breaks_open']:,}; `ucred breaks` lists them, `ucred explain ID` tells one."
    )
    return Text("\n".join(lines))
