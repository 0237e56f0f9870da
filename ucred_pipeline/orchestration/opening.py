"""Opens the pipeline from the environment as it is now."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.ledger.database import Ledger
from ucred_pipeline.orchestration.pipeline import Pipeline
from ucred_pipeline.settings import data_folder, default_ledger_url, load_settings


@contextmanager
def open_pipeline(env_file: Path | None = None, *, begins: bool = True) -> Iterator[Pipeline]:
    """Read the settings, open the ledger, and close it at the end; who `begins` makes it where none is."""
    settings = load_settings(env_file)
    if begins and settings.ledger_url == default_ledger_url():
        data_folder().mkdir(parents=True, exist_ok=True)
    with Ledger.open(settings.ledger_url, begins=begins) as ledger:
        yield Pipeline(settings, ledger, SystemClock())
