"""How a page is answered: from one snapshot of the ledger, and where there is none, by saying why."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from starlette.responses import HTMLResponse, Response

from ucred_pipeline.domain.clock import Clock
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.ledger.reader import LedgerReader
from ucred_pipeline.reporting.wording import iso
from ucred_pipeline.settings import Rules

if TYPE_CHECKING:
    from ucred_pipeline.reporting.page.looks import Looks


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pages are made from."""

    reader: LedgerReader
    rules: Rules
    clock: Clock


class Answers:
    """Makes the answers of all pages."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    @cached_property
    def looks(self) -> "Looks":
        """The templates, which are loaded for the first page that is looked at."""
        from ucred_pipeline.reporting.page.looks import Looks  # noqa: PLC0415

        return Looks(self.shown.rules.serve.dagster_url)

    def read(self, answer: Callable[[Connection, datetime], Response]) -> Response:
        """Answer from one snapshot; where there is none, say why."""
        now = self.shown.clock.now()
        try:
            with self.shown.reader.read() as connection:
                return answer(connection, now)
        except LedgerUnusable as error:
            told = {"told": str(error), "place": self.shown.reader.place, "now": now}
            return self.html("unreadable.html", status=503, **told)

    def html(self, template: str, status: int = 200, **told: Any) -> Response:
        """Answer with a page."""
        return HTMLResponse(self.looks.page(template, iso_now=iso(told["now"]), **told), status)

    def unknown(self, told: str, status: int = 404) -> Response:
        """Answer that there is nothing to be shown."""
        return self.html("unknown.html", status, told=told, now=self.shown.clock.now())
