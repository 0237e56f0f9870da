"""Which world a ledger is fed from: another one's purchases, credited in this one, would be nobody's."""

from hashlib import sha256
from typing import Final

from sqlalchemy import make_url

from ucred_pipeline.ledger.reads import Source
from ucred_pipeline.settings import Environment

_LIVE: Final = "_live_"


def world_of(environment: Environment, source: Source) -> str:
    """Tell one of a source's kind from another, without its address; logs are told apart by what they say.

    A key of Stripe may be changed for another one of its account, and is not looked at but for its mode.
    """
    return sha256(_named(environment, source).encode()).hexdigest()[:16]


def _named(environment: Environment, source: Source) -> str:
    match source:
        case Source.STRIPE:
            key = environment.stripe_api_key
            return f"{environment.stripe_api_base} {key is not None and _LIVE in key.get_secret_value()}"
        case Source.PAYMENTS_DATABASE if environment.payments_database_url is not None:
            url = make_url(environment.payments_database_url.get_secret_value())
            return f"{url.get_backend_name()} {url.host} {url.port} {url.database}"
        case Source.INDEXER:
            return str(environment.rust_l1_indexer)
        case _:
            return ""
