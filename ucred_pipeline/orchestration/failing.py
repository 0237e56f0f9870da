"""Fails a tick or a step of Dagster without the text of foreign errors, which Dagster would keep."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ucred_pipeline.orchestration.faults import told_without_secrets


@contextmanager
def without_secrets() -> Iterator[None]:
    """Let whatever goes wrong end here, told without what could be a secret."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends here without its text
        raise dg.Failure(told_without_secrets(error), allow_retries=False) from None
