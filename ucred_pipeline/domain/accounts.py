"""Accounts on the indexer: free text, compared byte for byte."""

from typing import Final

USER_PREFIX: Final = "acct:user:"
TREASURIES: Final = ("acct:treasury:FTH", "acct:treasury:MAIN", "acct:treasury:MOG")


def account_of(customer_email: str) -> str:
    """Name the account of a buyer: the address exactly as the payments database has it."""
    return USER_PREFIX + customer_email
