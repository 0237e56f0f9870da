"""One purchase, from payment to credit: by its own name, by a break's, or by a search."""

from datetime import datetime
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ucred_pipeline.ledger.breaks import payment_of_break
from ucred_pipeline.ledger.purchases import find_purchase, purchases_among
from ucred_pipeline.reporting.explanation import (
    evidence_facts,
    explain_purchase,
    is_known,
    no_purchase,
    purchase_facts,
    purchases_named,
    request_facts,
)
from ucred_pipeline.reporting.page.answers import Answers
from ucred_pipeline.reporting.page.asked import without_nul
from ucred_pipeline.reporting.timeline import days

_MOST_FOUND: Final = 200


def of_break(answers: Answers, request: Request) -> Response:
    """Show the purchase of a break, open or resolved."""
    name = without_nul(request.path_params["name"])

    def answer(connection: Connection, now: datetime) -> Response:
        payment_intent = payment_of_break(connection, name)
        if payment_intent is None:
            return answers.unknown("No break has this id.")
        return _one(answers, connection, payment_intent, now, name)

    return answers.read(answer)


def of_payment(answers: Answers, request: Request) -> Response:
    """Show the purchase of a PaymentIntent."""
    name = without_nul(request.path_params["name"])
    return answers.read(lambda connection, now: _one(answers, connection, name, now))


def found(answers: Answers, name: str) -> Response:
    """Show what a customer's address, a namespace or a payment names; lead on where that is one purchase."""

    def answer(connection: Connection, now: datetime) -> Response:
        names, exact = purchases_named(connection, name) if name else ([], True)
        if len(names) == 1 and exact:
            return RedirectResponse(f"/purchases/{quote(names[0], safe='')}", 303)
        listed = names[:_MOST_FOUND]
        return answers.html(
            "search.html",
            status=200 if names else 404,
            name=name,
            exact=exact,
            count=len(names),
            purchases=purchases_among(connection, listed),
            others=[no_purchase(connection, one) for one in listed if find_purchase(connection, one) is None],
            now=now,
        )

    return answers.read(answer)


def _one(
    answers: Answers,
    connection: Connection,
    payment_intent: str,
    now: datetime,
    break_id: str | None = None,
) -> Response:
    purchase = find_purchase(connection, payment_intent)
    if purchase is None:
        if not is_known(connection, payment_intent):
            return answers.unknown("No purchase and no payment has this name.")
        other = no_purchase(connection, payment_intent)
        return answers.html("no_purchase.html", other=other, now=now)
    explained = explain_purchase(connection, purchase, now, answers.shown.rules)
    return answers.html(
        "purchase.html",
        found=explained,
        bought=purchase,
        break_id=break_id,
        days=list(days(explained.timeline)),
        facts=list(purchase_facts(explained)),
        evidence=list(evidence_facts(explained.file)),
        requests={one.id: explained.file.attempts_of(one) for one in explained.file.corrections},
        request_facts=request_facts,
        now=now,
    )
