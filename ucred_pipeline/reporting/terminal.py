"""The parts of a report on a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text


def plain(text: str, style: str = "") -> Text:
    """Give text as it is: what customers wrote is never read as markup, nor as control codes."""
    return Text("".join(sign if sign.isprintable() else "?" for sign in text), style=style)


def heading(text: str) -> Text:
    """Give the line above a part."""
    return plain(text, "bold")


def facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Lay out facts: a name and what is known, one a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, told in rows:
        grid.add_row(plain(name, "dim"), plain(told))
    return grid


def part(title: str, *content: RenderableType) -> Group:
    """Give a part of a text: its heading, and its content below it, set in."""
    return Group(heading(title), *(Padding(each, (0, 0, 0, 2)) for each in content), "")
