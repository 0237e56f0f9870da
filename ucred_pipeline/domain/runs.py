"""How a run of the pipeline ends."""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How a run ended; `retried`: its process died, and Dagster ran it again."""

    RUNNING = "running"
    DONE = "done"
    UNSETTLED = "unsettled"
    HELD = "held"
    SOURCE_UNREADABLE = "source_unreadable"
    SETTINGS = "settings"
    FAULT = "fault"
    RETRIED = "retried"


#: A run that came to its end, whatever it found; and one that did not.
DECIDED: Final = (Outcome.DONE, Outcome.UNSETTLED, Outcome.HELD)
FAILED: Final = (Outcome.SOURCE_UNREADABLE, Outcome.SETTINGS, Outcome.FAULT)
