"""The rules of judging, one by one: the verdict table, and the examples of the rules of crediting."""

from dataclasses import replace
from typing import Any

import pytest

from ucred_pipeline.domain.judging_balances import largest_sum
from ucred_pipeline.domain.judging_frames import Evidence
from ucred_pipeline_tests.domain.judging_cases import (
    ALONE,
    ANN,
    BALANCES,
    DEBITS,
    GRACE,
    HOUR,
    LOG,
    NOW,
    UCRED,
    account,
    judged,
    purchase,
    verdict_and_reason,
    verdicts,
    young,
)

EVERY = pytest.mark.parametrize("evidence", [BALANCES, ALONE, DEBITS, LOG])


class TestTheVerdictTable:
    """Each row of the design's table."""

    def test_credited_by_a_receipt(self) -> None:
        """Our own receipt is the best proof."""
        row = purchase(receipts=1)
        assert judged([row], BALANCES, [account(UCRED)]) == [("credited", "receipt", "receipt")]

    def test_credited_by_a_log_line(self) -> None:
        """A line that names the purchase is proof, even from an incomplete log and without a balance."""
        row = purchase(lines=1)
        assert judged([row], BALANCES) == [("credited", "log", "log_line")]

    def test_credited_by_a_balance(self) -> None:
        """A balance that covers all that is owed is proof only where nobody else credits."""
        covered = account(UCRED)
        assert judged([purchase()], ALONE, [covered]) == [("credited", "balance", "balance_covers")]
        assert judged([purchase()], BALANCES, [covered]) == [("credited", "balance", "top_ups_unknown")]

    def test_lacking(self) -> None:
        """Owed, past grace, and not there."""
        assert judged([purchase()], BALANCES, [account(0)]) == [("lacking", "balance", "balance_too_low")]
        assert judged([purchase()], LOG) == [("lacking", "log", "log_shows_none")]

    @EVERY
    def test_pending(self, evidence: Evidence) -> None:
        """Within the grace period nothing lacks."""
        assert verdict_and_reason(young(), evidence, [account(0)]) == ("pending", "within_grace")

    @EVERY
    def test_in_doubt(self, evidence: Evidence) -> None:
        """A send of ours that may or may not have had an effect."""
        row = purchase(doubt=True)
        assert verdict_and_reason(row, evidence, [account(0)]) == ("in_doubt", "correction_in_doubt")

    @EVERY
    def test_ambiguous(self, evidence: Evidence) -> None:
        """Evidence that contradicts itself."""
        row = purchase(addresses_differ=True)
        assert verdict_and_reason(row, evidence, [account(0)]) == ("ambiguous", "addresses_differ")

    @EVERY
    @pytest.mark.parametrize("how", ["refunded", "disputed", "voided"])
    def test_withdrawn(self, how: str, evidence: Evidence) -> None:
        """What was given back, or may be, earns nothing; if it was credited, that is said."""
        gone = purchase(**{how: True})
        credited = purchase(lines=1, **{how: True})
        assert verdict_and_reason(gone, evidence, [account(0)]) == ("withdrawn", how)
        assert verdict_and_reason(credited, evidence) == ("withdrawn", f"{how}_after_credit")

    @EVERY
    def test_unissued(self, evidence: Evidence) -> None:
        """Paid and past grace without a certificate; before that it waits."""
        assert verdict_and_reason(purchase(issued_rows=0), evidence) == ("unissued", "no_certificate")
        assert verdict_and_reason(young(issued_rows=0), evidence) == ("pending", "within_grace")

    @EVERY
    def test_unpaid(self, evidence: Evidence) -> None:
        """A certificate without money, past grace, and Stripe was read whole."""
        failed = {"succeeded": False}
        assert verdict_and_reason(purchase(**failed), evidence) == ("unpaid", "payment_not_succeeded")
        missing = purchase(payment_known=False, **failed)
        assert verdict_and_reason(missing, evidence) == ("unpaid", "payment_missing")
        assert verdict_and_reason(young(**failed), evidence) == ("pending", "within_grace")

    def test_unpaid_waits_for_a_whole_read_of_stripe(self) -> None:
        """What was not read whole says nothing of what is missing; an earlier verdict stays."""
        row = {"succeeded": False, "stripe_whole": False}
        assert verdict_and_reason(purchase(**row), BALANCES) == ("pending", "stripe_not_whole")
        for before in ("unpaid", "credited", "ambiguous"):
            kept = purchase(previous_verdict=before, **row)
            assert verdict_and_reason(kept, BALANCES) == (before, "stripe_not_whole")
        lacked = purchase(previous_verdict="lacking", **row)
        assert verdict_and_reason(lacked, BALANCES) == ("pending", "stripe_not_whole")

    def test_unpaid_says_that_it_was_credited(self) -> None:
        """A credit for nothing alarms, whether a certificate exists or not."""
        row = purchase(succeeded=False, lines=1)
        assert judged([row], BALANCES) == [("unpaid", "log", "unpaid_after_credit")]
        bare = purchase(succeeded=False, lines=1, issued_rows=0)
        assert judged([bare], BALANCES) == [("over_credited", "log", "credited_without_payment")]

    @EVERY
    def test_over_credited(self, evidence: Evidence) -> None:
        """Two credits of one purchase, whoever sent them."""
        part = {"credited_in_part": True}
        for twice in (
            {"lines": 2}, {"receipts": 1, "lines": 1}, {"receipts": 2},
            {"lines": 1, **part}, {"receipts": 1, **part},
        ):  # fmt: skip
            row = purchase(**twice)
            assert verdict_and_reason(row, evidence) == ("over_credited", "credited_twice")

    def test_a_part_and_its_mint_line_are_one_credit(self) -> None:
        """What the payments API minted in part is no more than that part."""
        row = purchase(credited_in_part=True, minted=True)
        assert verdict_and_reason(row, BALANCES) == ("ambiguous", "credited_in_part")

    @pytest.mark.parametrize("besides", [{}, {"addresses_differ": True}, {"lines_other_case": 1}])
    def test_a_part_is_not_denied_by_a_decision(self, besides: dict[str, Any]) -> None:
        """The whole is not sent on top of a part, whatever a person said before the part was known."""
        row = purchase(credited_in_part=True, decision="not_credited", **besides)
        assert verdict_and_reason(row, LOG) == ("ambiguous", "credited_in_part")

    def test_what_was_paid_elsewhere_and_holds_nothing_displaced_nobody(self) -> None:
        """Who lacks surely is not kept back for a purchase that was not taken to have any of the room."""
        rows = [purchase("pi_1"), purchase("pi_2"), purchase("pi_3", stripe_address_differs=True)]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["credited", "lacking", "ambiguous"]
        rows = [purchase("pi_1", stripe_address_differs=True), purchase("pi_2"), purchase("pi_3")]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["credited", "ambiguous", "lacking"]

    def test_a_part_under_a_shared_name_may_be_anybodys(self) -> None:
        """Of two purchases of one name, a part of one is no proof that the other lacks."""
        shared = {"namespace": "n.x", "shares_namespace": True}
        rows = [purchase("pi_1", credited_in_part=True, voided=True, issued_rows=0, **shared)]
        rows.append(purchase("pi_2", **shared))
        assert judged(rows, LOG)[1] == ("ambiguous", "log", "namespace_shared")

    def test_what_is_dated_ahead_is_told_and_so_is_who_waits_for_it(self) -> None:
        """Nobody waits for years unseen; what a balance covers is credited whatever its date."""
        far = purchase("pi_2", due_since_us=NOW + HOUR)
        rows = [purchase("pi_1"), far]
        told = [reason for _, _, reason in judged(rows, BALANCES, [account(UCRED)])]
        assert told == ["withdrawn_may_cover", "dated_ahead"]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["credited", "credited"]

    def test_over_credited_by_balance(self) -> None:
        """A positive difference is not fine where nobody else credits."""
        rows = [purchase("pi_1"), purchase("pi_2")]
        found = judged(rows, ALONE, [account(3 * UCRED)])
        assert found[0] == ("credited", "balance", "balance_covers")
        assert found[1] == ("over_credited", "balance", "balance_exceeds")

    def test_over_credited_by_balance_where_all_is_proved(self) -> None:
        """A surplus beside proved credits is shown as well."""
        rows = [purchase("pi_1", lines=1), purchase("pi_2", receipts=1)]
        assert verdicts(rows, ALONE, [account(2 * UCRED)]) == ["credited", "credited"]
        assert verdicts(rows, ALONE, [account(2 * UCRED + 1)]) == ["credited", "over_credited"]
        assert verdicts(rows, BALANCES, [account(3 * UCRED)]) == ["credited", "credited"]

    @EVERY
    def test_foreign(self, evidence: Evidence) -> None:
        """A payment for another product is counted, and nothing else."""
        row = purchase(foreign=True, account=None, namespace=None, issued_rows=0, entitlement=0)
        assert verdict_and_reason(row, evidence) == ("foreign", "foreign_payment")

    @EVERY
    def test_not_paid_and_not_issued_is_no_purchase_yet(self, evidence: Evidence) -> None:
        """An abandoned payment owes nothing and is no break."""
        row = purchase(succeeded=False, issued_rows=0)
        assert verdict_and_reason(row, evidence) == ("pending", "not_paid")


class TestTheExamplesOfTheRules:
    """Each row of the table of examples in the rules of crediting."""

    def test_two_purchases_and_a_complete_log_shows_one(self) -> None:
        """That one is credited, the other lacks, proved."""
        rows = [purchase("pi_1"), purchase("pi_2", lines=1)]
        assert judged(rows, LOG) == [("lacking", "log", "log_shows_none"), ("credited", "log", "log_line")]

    def test_two_purchases_balance_one_top_ups_unknown(self) -> None:
        """One lacks, proved; which one is a convention: the newest."""
        rows = [purchase("pi_2"), purchase("pi_1")]
        assert judged(rows, BALANCES, [account(UCRED)]) == [
            ("lacking", "balance", "balance_too_low"),
            ("credited", "balance", "top_ups_unknown"),
        ]

    def test_the_same_with_debits_possible(self) -> None:
        """A spend looks like a missing credit: a person decides."""
        rows = [purchase("pi_1"), purchase("pi_2")]
        expected = [("ambiguous", "balance", "debits_possible")] * 2
        assert judged(rows, DEBITS, [account(UCRED)]) == expected

    def test_one_purchase_balance_one(self) -> None:
        """Credited by balance; with the top-up's line known it lacks."""
        assert verdicts([purchase()], BALANCES, [account(UCRED)]) == ["credited"]
        known = account(UCRED, known_other_wei=UCRED)
        assert verdicts([purchase()], BALANCES, [known]) == ["lacking"]

    @EVERY
    def test_purchase_and_manual_credit(self, evidence: Evidence) -> None:
        """Two lines for one purchase: over-credited."""
        assert verdicts([purchase(lines=2)], evidence) == ["over_credited"]

    @pytest.mark.parametrize("how", ["refunded", "disputed", "voided"])
    def test_withdrawn_with_a_line(self, how: str) -> None:
        """It was credited, and so it covers for nobody."""
        rows = [purchase("pi_1", lines=1, **{how: True}), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["withdrawn", "lacking"]

    @pytest.mark.parametrize("how", ["refunded", "disputed", "voided"])
    def test_withdrawn_may_cover_for_another(self, how: str) -> None:
        """Without logs the other is ambiguous."""
        rows = [purchase("pi_1", **{how: True}), purchase("pi_2")]
        found = judged(rows, BALANCES, [account(UCRED)])
        assert found[1] == ("ambiguous", "balance", "withdrawn_may_cover")
        assert verdicts(rows, LOG) == ["withdrawn", "lacking"]
        assert verdicts(rows, BALANCES, [account(0)]) == ["withdrawn", "lacking"]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["withdrawn", "credited"]

    def test_a_line_in_another_case(self) -> None:
        """Crediting may pay one human twice."""
        row = purchase(account="acct:user:a@x.com", lines_other_case=1)
        assert judged([row], LOG) == [("ambiguous", "log", "credited_elsewhere")]
        assert verdicts([purchase(lines=1, lines_other_case=1)], LOG) == ["credited"]

    @EVERY
    def test_a_namespace_issued_again_after_a_void(self, evidence: Evidence) -> None:
        """One line: the old one withdrawn and credited, the new one ambiguous."""
        shared = {"namespace": "1.x", "shares_namespace": True}
        rows = [purchase("pi_1", voided=True, issued_rows=0, lines=1, **shared), purchase("pi_2", **shared)]
        assert judged(rows, evidence, [account(UCRED)]) == [
            ("withdrawn", "log", "voided_after_credit"),
            ("ambiguous", "log", "namespace_shared"),
        ]

    def test_a_shared_namespace_with_a_line_for_each(self) -> None:
        """As many lines as purchases: nothing is open."""
        shared = {"namespace": "1.x", "shares_namespace": True, "lines": 1}
        assert verdicts([purchase("pi_1", **shared), purchase("pi_2", **shared)], LOG) == ["credited"] * 2

    def test_a_shared_namespace_without_any_line(self) -> None:
        """A complete log without a line for either proves that both lack."""
        shared = {"namespace": "1.x", "shares_namespace": True}
        rows = [purchase("pi_1", voided=True, **shared), purchase("pi_2", **shared)]
        assert verdicts(rows, LOG) == ["withdrawn", "lacking"]

    def test_a_shared_namespace_that_was_minted(self) -> None:
        """Whose mint it was is not known."""
        shared = {"namespace": "1.x", "shares_namespace": True, "minted": True}
        rows = [purchase("pi_1", **shared), purchase("pi_2", **shared)]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["ambiguous"] * 2

    def test_younger_than_the_grace_period(self) -> None:
        """Pending; an older sibling lacks when the balance is below what the older alone are owed."""
        rows = [purchase("pi_1"), young()]
        assert verdicts(rows, BALANCES, [account(0)]) == ["lacking", "pending"]

    @pytest.mark.parametrize(
        "before,after",
        [
            ("credited", "credited"),
            ("ambiguous", "ambiguous"),
            ("lacking", "pending"),
            ("pending", "pending"),
            (None, "pending"),
        ],
    )
    def test_older_siblings_of_the_young_keep_their_verdict(self, before: str | None, after: str) -> None:
        """The balance may hold either's credit; nothing that asks for a credit is kept."""
        rows = [purchase("pi_1", previous_verdict=before), young()]
        found = judged(rows, BALANCES, [account(UCRED)])
        assert [verdict for verdict, _, _ in found] == [after, "pending"]
        assert found[0][2] == "sibling_within_grace"

    def test_young_and_covered(self) -> None:
        """A balance that covers everything covers the young as well."""
        assert verdicts([purchase(), young()], BALANCES, [account(2 * UCRED)]) == ["credited", "credited"]

    @EVERY
    def test_two_issued_rows(self, evidence: Evidence) -> None:
        """Two certificates for one payment are a person's to decide, with one line or none."""
        assert verdicts([purchase(issued_rows=2)], evidence, [account(UCRED)]) == ["ambiguous"]
        assert verdicts([purchase(issued_rows=2, lines=1)], evidence) == ["ambiguous"]


class TestPrecedence:
    """Where two rules could apply, the safer one does."""

    def test_two_credits_of_a_withdrawn_purchase(self) -> None:
        """Two too many alarm more than one."""
        assert verdicts([purchase(refunded=True, lines=2)], LOG) == ["over_credited"]

    def test_a_doubt_of_a_withdrawn_purchase(self) -> None:
        """Whether it was credited is open until the doubt is settled."""
        assert verdicts([purchase(refunded=True, doubt=True)], LOG) == ["in_doubt"]

    def test_a_receipt_ends_a_doubt(self) -> None:
        """A confirmed correction is proof, whatever else is under way."""
        assert verdicts([purchase(doubt=True, receipts=1)], LOG) == ["credited"]
        assert verdicts([purchase(doubt=True, lines=1)], LOG) == ["in_doubt"]

    @pytest.mark.parametrize("decision", ["credited", "not_credited"])
    def test_proof_comes_before_a_decision(self, decision: str) -> None:
        """A person does not overrule a line."""
        assert verdicts([purchase(lines=1, decision=decision)], LOG) == ["credited"]
        assert verdicts([purchase(lines=1, issued_rows=2, decision=decision)], LOG) == ["credited"]

    @EVERY
    @pytest.mark.parametrize(
        "doubtful", [{"addresses_differ": True}, {"issued_rows": 2}, {"lines_other_case": 1}, {}]
    )
    def test_a_decision_settles_what_was_ambiguous(
        self, doubtful: dict[str, Any], evidence: Evidence
    ) -> None:
        """That is what decisions are for."""
        yes, no = purchase(decision="credited", **doubtful), purchase(decision="not_credited", **doubtful)
        assert judged([yes], evidence, [account(0)]) == [("credited", "none", "decided_by_person")]
        assert judged([no], evidence, [account(0)]) == [("lacking", "none", "decided_by_person")]

    @pytest.mark.parametrize(
        "state,verdict",
        [
            ({"refunded": True}, "withdrawn"),
            ({"succeeded": False}, "unpaid"),
            ({"issued_rows": 0}, "unissued"),
            ({"foreign": True}, "foreign"),
            ({"doubt": True}, "in_doubt"),
            ({"account": None}, "ambiguous"),
            ({"stripe_whole": False}, "pending"),
            ({"due_since_us": NOW}, "pending"),
            ({"entitlement": 0}, "credited"),
        ],
    )
    def test_a_decision_credits_only_what_is_owed_and_due(self, state: dict[str, Any], verdict: str) -> None:
        """Not credited is not the same as owed."""
        assert verdicts([purchase(decision="not_credited", **state)], LOG) == [verdict]

    @EVERY
    def test_nothing_lacks_where_stripe_was_not_read_whole(self, evidence: Evidence) -> None:
        """A refund may be unseen."""
        found = verdicts([purchase(stripe_whole=False)], evidence, [account(0)])
        assert "lacking" not in found

    @EVERY
    def test_nothing_lacks_without_an_account(self, evidence: Evidence) -> None:
        """Nobody knows whom to credit."""
        row = purchase(account=None, issued_rows=0, needs_certificate=False)
        assert verdict_and_reason(row, evidence) == ("ambiguous", "account_unknown")
        fresh = young(account=None, issued_rows=0, needs_certificate=False)
        assert verdict_and_reason(fresh, evidence) == ("pending", "within_grace")

    @EVERY
    def test_a_reward_of_nothing_lacks_nothing(self, evidence: Evidence) -> None:
        """And a credit for it is one too many."""
        nothing = {"entitlement": 0}
        assert verdict_and_reason(purchase(**nothing), evidence) == ("credited", "nothing_owed")
        credited = verdict_and_reason(purchase(lines=1, **nothing), evidence)
        assert credited == ("over_credited", "credited_without_reward")

    def test_no_certificate_needed(self) -> None:
        """A type that needs no certificate lacks like any other."""
        row = purchase(issued_rows=0, needs_certificate=False)
        assert verdicts([row], BALANCES, [account(0)]) == ["lacking"]
        assert verdicts([row], LOG) == ["lacking"]

    def test_a_credit_without_a_certificate(self) -> None:
        """Support's credit of a paid purchase counts though no certificate exists."""
        assert verdicts([purchase(issued_rows=0, lines=1)], LOG) == ["credited"]


class TestMintLines:
    """What the payments API's log says, and how far it counts."""

    def test_minted_is_proof_without_a_complete_log(self) -> None:
        """And its credit is not another's."""
        assert judged([purchase(minted=True)], BALANCES) == [("credited", "log", "mint_line")]
        rows = [purchase("pi_1"), purchase("pi_2", minted=True)]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["lacking", "credited"]

    def test_minted_and_its_line_are_one_credit(self) -> None:
        """Two logs tell of the same credit."""
        assert verdicts([purchase(minted=True, lines=1)], BALANCES) == ["credited"]

    def test_minted_and_our_receipt_are_two_credits(self) -> None:
        """The payments API's credit and ours."""
        assert verdicts([purchase(minted=True, receipts=1)], BALANCES) == ["over_credited"]

    def test_minted_and_not_in_the_complete_log(self) -> None:
        """The two logs contradict each other."""
        assert verdict_and_reason(purchase(minted=True), LOG) == ("ambiguous", "minted_not_in_log")

    def test_refused_but_covered(self) -> None:
        """That mint did not happen, and yet nothing seems to lack."""
        refused = purchase(mint_refused=True)
        covered = verdict_and_reason(refused, BALANCES, [account(UCRED)])
        assert covered == ("ambiguous", "mint_refused_but_covered")
        assert verdicts([refused], BALANCES, [account(0)]) == ["lacking"]


class TestBalances:
    """What balances prove where no log does."""

    def test_an_old_missing_credit_does_not_hide_behind_a_new_one(self) -> None:
        """Sixty days ago never credited, a new one that was: one credit is owed."""
        old = purchase("pi_1", created_us=NOW - 60 * 24 * HOUR)
        new = purchase("pi_2", created_us=NOW - 2 * HOUR)
        assert sorted(verdicts([old, new], BALANCES, [account(UCRED)])) == ["credited", "lacking"]

    @pytest.mark.parametrize(
        "before,after", [(None, "pending"), ("credited", "credited"), ("lacking", "pending")]
    )
    def test_a_balance_that_was_never_read(self, before: str | None, after: str) -> None:
        """An empty read does not reconcile to zero."""
        row = purchase(previous_verdict=before)
        unread = account(None, as_of_us=-1)
        assert verdict_and_reason(row, BALANCES, [unread]) == (after, "balance_unknown")
        assert verdict_and_reason(row, BALANCES) == (after, "balance_unknown")

    def test_a_balance_older_than_the_newest_known_credit(self) -> None:
        """It may lack the credit that was just given, and then another purchase would seem to lack."""
        rows = [purchase("pi_1"), purchase("pi_2", receipts=1)]
        outdated = account(UCRED, as_of_us=NOW - 10, proof_us=NOW - 5)
        assert judged(rows, BALANCES, [outdated])[0] == ("pending", "none", "balance_outdated")
        fresh = account(2 * UCRED, as_of_us=NOW, proof_us=NOW - 5)
        assert verdicts(rows, BALANCES, [fresh]) == ["credited", "credited"]

    def test_a_balance_speaks_as_of_its_reading(self) -> None:
        """What was within grace when the read began is not settled by it."""
        read_early = account(0, as_of_us=NOW - HOUR)
        row = purchase(due_since_us=NOW - HOUR - GRACE + 1)
        assert verdicts([row], BALANCES, [read_early]) == ["pending"]
        assert verdicts([purchase(due_since_us=NOW - HOUR - GRACE)], BALANCES, [read_early]) == ["lacking"]

    def test_a_balance_from_the_future_settles_nothing_early(self) -> None:
        """A clock that runs ahead does not shorten the grace period."""
        assert verdicts([young()], BALANCES, [account(0, as_of_us=NOW + 100 * HOUR)]) == ["pending"]

    def test_a_balance_below_what_is_proved(self) -> None:
        """The indexer holds less than its own receipts: nothing is concluded from it."""
        rows = [purchase("pi_1", receipts=1), purchase("pi_2")]
        found = judged(rows, BALANCES, [account(UCRED - 1)])
        assert found[1] == ("ambiguous", "balance", "balance_below_proven")
        assert verdicts(rows, DEBITS, [account(UCRED - 1)]) == ["credited", "ambiguous"]

    @pytest.mark.parametrize("evidence", [BALANCES, ALONE])
    def test_a_mint_that_earns_nothing_may_cover(self, evidence: Evidence) -> None:
        """The payments API mints also for what earns nothing: that does not pass for a sibling's credit."""
        rows, told = [purchase("pi_1", entitlement=0), purchase("pi_2")], replace(evidence, minted_wei=UCRED)
        assert judged(rows, told, [account(UCRED)])[1] == ("ambiguous", "balance", "withdrawn_may_cover")
        assert verdicts(rows, told, [account(0)]) == ["credited", "lacking"]
        assert verdicts(rows, told, [account(2 * UCRED)])[1] in {"credited", "over_credited"}

    def test_debits_possible_and_covered(self) -> None:
        """What is there was credited, spent or not."""
        assert verdicts([purchase()], DEBITS, [account(UCRED)]) == ["credited"]

    def test_debits_possible_and_a_log(self) -> None:
        """Where debits are possible no replay proves that a line is missing."""
        debits = Evidence(NOW, GRACE, log_complete=True, log_as_of_us=NOW, debits_possible=True)
        assert verdicts([purchase()], debits, [account(0)]) == ["ambiguous"]
        assert verdicts([purchase(lines=1)], debits, [account(0)]) == ["credited"]

    def test_debits_possible_with_a_young_sibling(self) -> None:
        """The older keeps its verdict while the younger may be what the balance holds."""
        rows = [purchase("pi_1", previous_verdict="credited"), young()]
        assert verdicts(rows, DEBITS, [account(UCRED)]) == ["credited", "pending"]

    def test_one_lacks_and_the_withdrawn_may_cover_the_other(self) -> None:
        """Two are owed, one was withdrawn, one credit is there."""
        rows = [purchase("pi_1"), purchase("pi_2"), purchase("pi_3", refunded=True)]
        found = verdicts(rows, BALANCES, [account(UCRED)])
        assert found == ["ambiguous", "lacking", "withdrawn"]

    def test_only_those_that_may_be_covered_by_others_are_open(self) -> None:
        """Three are owed, one was withdrawn, three credits are there: two have theirs for certain."""
        rows = [purchase(f"pi_{number}") for number in (1, 2, 3)]
        rows.append(purchase("pi_4", refunded=True))
        found = verdicts(rows, BALANCES, [account(3 * UCRED)])
        assert found == ["credited", "credited", "ambiguous", "withdrawn"]

    def test_a_voided_purchase_may_cover_though_no_certificate_is_left(self) -> None:
        """It was minted when the certificate was issued."""
        rows = [purchase("pi_1", voided=True, issued_rows=0), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["withdrawn", "ambiguous"]

    def test_a_withdrawn_purchase_that_never_had_a_certificate_covers_for_nobody(self) -> None:
        """The payments API mints only after the certificate."""
        rows = [purchase("pi_1", refunded=True, issued_rows=0), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["withdrawn", "credited"]

    def test_withdrawn_after_credit_where_only_purchases_move_the_balance(self) -> None:
        """All that is held was credited by purchases, so the withdrawn one was."""
        row = purchase(refunded=True)
        assert judged([row], ALONE, [account(UCRED)]) == [("withdrawn", "balance", "refunded_after_credit")]
        assert judged([row], ALONE, [account(0)]) == [("withdrawn", "none", "refunded")]

    def test_two_certificates_may_hold_two_credits(self) -> None:
        """The payments API mints for each certificate."""
        rows = [purchase("pi_1", issued_rows=2), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)])[1] == "ambiguous"
        assert verdicts(rows, BALANCES, [account(3 * UCRED)])[1] == "credited"

    def test_a_sibling_in_doubt(self) -> None:
        """A correction in doubt may be in the balance; the others wait for it."""
        rows = [purchase("pi_1"), purchase("pi_2", doubt=True)]
        assert judged(rows, BALANCES, [account(UCRED)])[0] == ("pending", "none", "sibling_in_doubt")
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["credited", "in_doubt"]
        assert verdicts(rows, BALANCES, [account(0)]) == ["lacking", "in_doubt"]

    def test_a_purchase_that_is_decided_leaves_its_share_open(self) -> None:
        """Decided as credited, it may be what the balance holds; as not credited, it is not."""
        for decision, other in (("credited", "ambiguous"), ("not_credited", "credited")):
            rows = [purchase("pi_1", decision=decision), purchase("pi_2")]
            assert verdicts(rows, BALANCES, [account(UCRED)])[1] == other

    def test_a_purchase_partly_covered(self) -> None:
        """With different amounts a person decides about what is covered in part."""
        rows = [
            purchase("pi_1"),
            purchase("pi_2", entitlement=5 * UCRED),
            purchase("pi_3", entitlement=3 * UCRED),
        ]
        found = judged(rows, BALANCES, [account(4 * UCRED)])
        assert found[0][0] == "credited"
        assert found[1] == ("ambiguous", "balance", "partly_covered")
        assert found[2][0] == "lacking"

    def test_room_that_no_credit_fills_covers_nothing(self) -> None:
        """Half a credit is no credit, with equal amounts and with different ones."""
        rows = [purchase("pi_1"), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(2 * UCRED - 1)]) == ["credited", "lacking"]
        mixed = [purchase("pi_1", entitlement=2 * UCRED), purchase("pi_2", entitlement=5 * UCRED)]
        assert verdicts(mixed, BALANCES, [account(4 * UCRED)]) == ["credited", "lacking"]

    def test_a_purchase_corrected_by_convention_may_hold_what_no_other_could(self) -> None:
        """Its first credit, unseen, pays a part of what a larger one lacks, which is then not credited."""
        rows = [purchase("pi_1", entitlement=2 * UCRED), purchase("pi_2", receipts=1)]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["ambiguous", "credited"]
        assert verdicts(rows, BALANCES, [account(UCRED)]) == ["lacking", "credited"]
        doubtful = [purchase("pi_1", entitlement=2 * UCRED), purchase("pi_2", doubt=True)]
        assert verdicts(doubtful, BALANCES, [account(UCRED)]) == ["ambiguous", "in_doubt"]

    def test_many_different_amounts_are_bounded_by_their_divisor(self) -> None:
        """Where sums are too many to list, a bound that is never too low takes their place."""
        amounts = [2 * 3**power for power in range(20)]
        assert largest_sum(amounts, 2 * 3**19 - 1) == 2 * 3**19 - 2
        assert largest_sum([2, 5], 4) == 2

    def test_amounts_beyond_64_bits(self) -> None:
        """An account above 9.22 UCRED is judged to the wei."""
        rows = [purchase(f"pi_{number}") for number in range(1, 31)]
        assert verdicts(rows, BALANCES, [account(str(30 * UCRED))]) == ["credited"] * 30
        assert verdicts(rows, BALANCES, [account(str(30 * UCRED - 1))]) == ["credited"] * 29 + ["lacking"]

    def test_amounts_at_the_edge_of_128_bits(self) -> None:
        """The largest amounts are exact too, and so is their sum."""
        most = 2**128 - 1
        rows = [purchase("pi_1", entitlement=most - 1), purchase("pi_2", entitlement=most - 1)]
        assert verdicts(rows, BALANCES, [account(most)]) == ["credited", "lacking"]
        assert verdicts(rows, BALANCES, [account(most - 2)]) == ["lacking", "lacking"]

    def test_addresses_that_differ_in_case_are_two_accounts(self) -> None:
        """Accounts are compared byte for byte; so are letters that look the same."""
        names = [ANN, ANN.upper(), "acct:user:é@x.com", "acct:user:e\u0301@x.com"]
        rows = [purchase(f"pi_{place}", account=name) for place, name in enumerate(names)]
        accounts = [account(UCRED * (place % 2), account=name) for place, name in enumerate(names)]
        assert verdicts(rows, BALANCES, accounts) == ["lacking", "credited"] * 2

    def test_the_payment_intent_breaks_ties_of_age(self) -> None:
        """Of two purchases of the same microsecond the first by name is covered."""
        rows = [purchase(name, created_us=NOW - HOUR) for name in ("pi_c", "pi_a", "pi_b")]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["lacking", "credited", "credited"]


class TestTheLog:
    """What a complete log proves, and until when."""

    def test_a_top_up_does_not_hide_a_missing_credit(self) -> None:
        """By purchase, the balance does not matter."""
        assert verdicts([purchase()], LOG, [account(100 * UCRED)]) == ["lacking"]

    def test_a_log_that_ends_before_the_grace_period(self) -> None:
        """It does not speak for later times."""
        behind = Evidence(NOW, GRACE, log_complete=True, log_as_of_us=NOW - 2 * HOUR)
        recent = purchase(due_since_us=NOW - HOUR)
        assert verdict_and_reason(recent, behind, [account(0)]) == ("pending", "log_behind")
        assert verdicts([purchase()], behind) == ["lacking"]
        assert verdicts([purchase(due_since_us=NOW - HOUR, minted=True)], behind) == ["credited"]

    def test_an_incomplete_log_is_proof_of_presence_only(self) -> None:
        """Its silence says nothing."""
        rows = [purchase("pi_1", lines=1), purchase("pi_2")]
        assert verdicts(rows, BALANCES, [account(2 * UCRED)]) == ["credited", "credited"]

    @pytest.mark.parametrize("evidence", [BALANCES, LOG])
    def test_a_correction_given_by_convention_is_not_paid_again(self, evidence: Evidence) -> None:
        """A balance named the newest; a line shows later that it was the oldest that lacked."""
        rows = [purchase("pi_1"), purchase("pi_2", receipts=1, lines=1), purchase("pi_3")]
        found = judged(rows, evidence, [account(2 * UCRED)])
        assert found[0] == ("ambiguous", "receipt", "surplus_may_cover")
        assert [verdict for verdict, _, _ in found[1:]] == ["over_credited", "lacking"]

    @pytest.mark.parametrize("evidence", [BALANCES, LOG])
    def test_nor_while_it_is_in_doubt(self, evidence: Evidence) -> None:
        """A line shows that the one in doubt had its credit: the oldest waits until it is settled."""
        rows = [purchase("pi_1"), purchase("pi_2", doubt=True, lines=1), purchase("pi_3")]
        found = judged(rows, evidence, [account(UCRED)])
        assert found[0] == ("pending", "none", "sibling_in_doubt")
        assert [verdict for verdict, _, _ in found[1:]] == ["in_doubt", "lacking"]
