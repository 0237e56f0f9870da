"""How a step ends that went wrong: the ledger keeps the outcome, and nobody is shown a secret."""

import traceback
from pathlib import Path

from ucred_pipeline.corrections.indexer import IndexerUnreachable
from ucred_pipeline.domain.runs import Outcome
from ucred_pipeline.ledger.errors import LedgerUnusable
from ucred_pipeline.settings import SettingsError
from ucred_pipeline.sources.errors import SourceUnreadable


def outcome_of(error: Exception) -> Outcome:
    """Which end an error means for a run."""
    if isinstance(error, SourceUnreadable | IndexerUnreachable):
        return Outcome.SOURCE_UNREADABLE
    if isinstance(error, SettingsError | LedgerUnusable):
        return Outcome.SETTINGS
    return Outcome.FAULT


def told_without_secrets(error: Exception) -> str:
    """Say what went wrong: our own errors in their words, any other by its kind and place only.

    The text of a foreign error may hold a key, a customer's address or a row of a database.
    """
    if isinstance(error, IndexerUnreachable):
        return f"{error}. Start the indexer, or set RUST_L1_INDEXER to where it listens."
    if isinstance(error, SourceUnreadable | SettingsError | LedgerUnusable):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    ours = [frame for frame in frames if "ucred_pipeline" in frame.filename]
    called = f", from {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"a fault of the pipeline: {type(error).__name__}{place}{called}. Please report it."
