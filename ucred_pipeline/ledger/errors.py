"""What can be wrong with the ledger itself."""


class LedgerUnusable(Exception):
    """The ledger cannot be opened as it is; the message says what to do."""


class TooEarly(Exception):
    """What is asked for is not safe yet; the message says from when on it is."""


class LedgerContradiction(Exception):
    """The ledger refused a step that its rules do not allow, or lacks a row that must be there."""
