"""Memos name their purchase, whatever its namespace looks like."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ucred_pipeline.domain.memos import CorrectionKind, Memo, memo_of, read_memo

CORRECTION = "0123456789abcdef"

namespaces = st.text(min_size=1) | st.sampled_from(
    ["123.x", ":", "a:b", f"x:{CORRECTION}.1", "purchase:1.x", "correction:", "new\nline", " ", "ünïcode.x"]
)


@given(
    st.sampled_from(CorrectionKind),
    namespaces,
    st.integers(0, 2**64 - 1).map("{:016x}".format),
    st.integers(1, 999_999_999),
)
@example(CorrectionKind.CORRECTION, f"x:{CORRECTION}.1", CORRECTION, 2)
def test_our_memos_read_back(kind: CorrectionKind, namespace: str, correction: str, attempt: int) -> None:
    """The purchase, the correction and the attempt survive any namespace."""
    assert Memo(kind.value, namespace, correction, attempt) == read_memo(
        memo_of(kind, namespace, correction, attempt)
    )


@given(namespaces)
def test_the_memo_of_the_payments_api_names_everything_behind_its_prefix(namespace: str) -> None:
    """The namespace of `purchase:` is taken byte for byte, also where it looks like one of our memos."""
    assert Memo("purchase", namespace) == read_memo(f"purchase:{namespace}")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("manual_credit:123.x", Memo("manual_credit", "123.x")),
        (f"manual_credit:123.x:{CORRECTION}", Memo("manual_credit", f"123.x:{CORRECTION}")),
        (f"manual_credit:123.x:{CORRECTION}.0", Memo("manual_credit", f"123.x:{CORRECTION}.0")),
        (f"manual_credit:123.x:{CORRECTION}.1", Memo("manual_credit", "123.x", CORRECTION, 1)),
    ],
)
def test_a_persons_manual_credit_is_told_from_ours(text: str, expected: Memo) -> None:
    """Only a whole name of an attempt makes a manual credit one of the pipeline's."""
    assert expected == read_memo(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "purchase",
        "purchase:",
        "topup:0xabc",
        "Purchase:123.x",
        "correction:123.x",
        f"correction:123.x:{CORRECTION}",
        f"correction:123.x:{CORRECTION.upper()}.1",
        f"correction:123.x:{CORRECTION}.01",
    ],
)
def test_other_memos_name_no_purchase(text: str) -> None:
    """A top-up, or a correction without its attempt, is evidence of no purchase."""
    assert read_memo(text) is None
