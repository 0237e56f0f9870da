"""How a source says that it could not be read whole.

A source fails closed: what it could not read whole it does not return. So one exception ends
every read that went wrong, and whoever catches it knows that nothing was covered.
"""


class SourceUnreadable(Exception):
    """A source could not be read whole, so nothing may be decided from it.

    `problem` says what is wrong and where, `advice` what to do. Neither may hold a key, a token,
    a customer's address, or the credentials of a URL.
    """

    def __init__(self, source: str, problem: str, advice: str) -> None:
        super().__init__(source, problem, advice)
        self.source = source
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}\n{self.advice}"
