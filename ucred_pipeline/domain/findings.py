"""The findings of one judgement, row by row; the first that is given stands."""

import numpy as np
import pandas as pd

from ucred_pipeline.domain.verdicts import Basis, Finding, Reason, Verdict
from ucred_pipeline.domain.wei_arrays import Bools


class Findings:
    """Collects a finding for each purchase."""

    def __init__(self, count: int) -> None:
        self._codes = np.full(count, -1, dtype=np.int16)
        self._code_of: dict[Finding, int] = {}

    @property
    def open(self) -> Bools:
        """Where there is no finding yet."""
        return np.less(self._codes, 0)

    def give(self, finding: Finding, rows: Bools) -> None:
        """Give the finding to those rows that have none."""
        self.replace(finding, rows & self.open)

    def replace(self, finding: Finding, rows: Bools) -> None:
        """Give the finding to rows, whatever they had."""
        self._codes[rows] = self._code_of.setdefault(finding, len(self._code_of))

    def having(self, *, verdict: Verdict, reason: Reason | None = None) -> Bools:
        """Tell which rows have a verdict, and a reason if one is named."""
        codes = [
            code
            for finding, code in self._code_of.items()
            if finding.verdict is verdict and reason in {None, finding.reason}
        ]
        return np.isin(self._codes, codes)

    def to_frame(self, index: pd.Index) -> pd.DataFrame:
        """Give the columns verdict, basis and reason, each a category of plain strings."""
        if self.open.any():
            message = "the rules left a purchase without a verdict"
            raise AssertionError(message)
        findings = list(self._code_of)
        return pd.DataFrame(
            {
                "verdict": self._column([str(finding.verdict) for finding in findings], list(Verdict)),
                "basis": self._column([str(finding.basis) for finding in findings], list(Basis)),
                "reason": self._column([str(finding.reason) for finding in findings], list(Reason)),
            },
            index=index,
        )

    def _column(self, words: list[str], every: list[Verdict] | list[Basis] | list[Reason]) -> pd.Categorical:
        places = {str(word): place for place, word in enumerate(every)}
        place_of = np.array([places[word] for word in words], dtype=np.int8)
        return pd.Categorical.from_codes(
            place_of[self._codes], categories=pd.Index(list(places), dtype=object)
        )
