"""A slow and obvious judge, account by account, in Python's integers: the oracle of the real one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ucred_pipeline.domain.judging_frames import Evidence

Row = dict[str, Any]
Found = dict[str, tuple[str, str] | None]


def due(row: Row, evidence: Evidence) -> int:
    """When the grace period of a purchase ends."""
    since = row["due_since_us"]
    return int(row["created_us"] if since == -1 else since) + evidence.grace_us


def silent_log_proves(row: Row, evidence: Evidence) -> bool:
    """A complete log speaks for what was past grace when it ended, unless balances may fall."""
    complete = evidence.log_complete and not evidence.debits_possible
    return complete and due(row, evidence) <= min(evidence.log_as_of_us, evidence.now_us)


def proofs(row: Row, evidence: Evidence) -> int:
    """Count the credits that are proved to be the purchase's own."""
    has_line = row["lines"] or row["credited_in_part"]
    minted = row["minted"] and not has_line and not row["shares_namespace"]
    return int(row["receipts"] + row["lines"] + (minted and not silent_log_proves(row, evidence)))


def alone(row: Row, account_rows: list[Row], evidence: Evidence) -> tuple[str, str] | None:  # noqa: C901, PLR0911, PLR0912
    """Say what needs no absence of proof; None where it is owed and nothing shows it."""
    proved, late = proofs(row, evidence), due(row, evidence) <= evidence.now_us
    certificate = row["issued_rows"] > 0
    if row["foreign"]:
        return "foreign", "foreign_payment"
    if proved > 1 or (proved and row["credited_in_part"]):
        return "over_credited", "credited_twice"
    if proved and not int(row["entitlement"]):
        return "over_credited", "credited_without_reward"
    if row["doubt"] and not row["receipts"]:
        return "in_doubt", "correction_in_doubt"
    for how in ("refunded", "disputed", "voided"):
        if row[how]:
            return "withdrawn", how + ("_after_credit" if proved or row["credited_in_part"] else "")
    if not row["succeeded"]:
        if row["stripe_whole"] and late and proved:
            return (
                ("unpaid", "unpaid_after_credit")
                if certificate
                else ("over_credited", "credited_without_payment")
            )
        if not proved and not certificate:
            return "pending", "not_paid"
        if not proved and not late:
            return "pending", "within_grace"
        if not proved and not row["stripe_whole"]:
            kept = row["previous_verdict"] in {"credited", "ambiguous", "unpaid"}
            return row["previous_verdict"] if kept else "pending", "stripe_not_whole"
        if not proved:
            return "unpaid", "payment_not_succeeded" if row["payment_known"] else "payment_missing"
    if not certificate and row["needs_certificate"] and not proved:
        return ("unissued", "no_certificate") if late else ("pending", "within_grace")
    if row["issued_rows"] > 1 and row["decision"] is None:
        return "ambiguous", "two_certificates"
    if proved:
        return "credited", "receipt" if row["receipts"] else "log_line" if row["lines"] else "mint_line"
    if not int(row["entitlement"]):
        return "credited", "nothing_owed"
    if row["decision"] == "credited":
        return "credited", "decided_by_person"
    if row["credited_in_part"]:
        return "ambiguous", "credited_in_part"
    if row["account"] is None:
        return ("ambiguous", "account_unknown") if late else ("pending", "within_grace")
    if row["decision"] == "not_credited":
        if not late:
            return "pending", "within_grace"
        return ("lacking", "decided_by_person") if row["stripe_whole"] else ("pending", "stripe_not_whole")
    return contradiction(row, account_rows, evidence)


def contradiction(row: Row, account_rows: list[Row], evidence: Evidence) -> tuple[str, str] | None:
    """Say where the evidence for one purchase points both ways."""
    if row["addresses_differ"]:
        return "ambiguous", "addresses_differ"
    if row["lines_other_case"]:
        return "ambiguous", "credited_elsewhere"
    namesakes = [
        other for other in account_rows if other["namespace"] == row["namespace"] and other is not row
    ]
    if row["shares_namespace"] and (
        row["minted"]
        or any(
            (other["lines"] or other["credited_in_part"]) and other["shares_namespace"] for other in namesakes
        )
    ):
        return "ambiguous", "namespace_shared"
    if row["unexplained"] and due(row, evidence) <= evidence.now_us:
        return "ambiguous", "unexplained_credit"
    if row["minted"] and silent_log_proves(row, evidence):
        return "ambiguous", "minted_not_in_log"
    return None


def kept(row: Row, reason: str) -> tuple[str, str]:
    """Keep a verdict that asks for no credit."""
    before = row["previous_verdict"]
    return (before, reason) if before in {"credited", "ambiguous"} else ("pending", reason)


def judge_account(rows: list[Row], balance: Row | None, evidence: Evidence) -> dict[str, tuple[str, str]]:
    """Judge one account's purchases."""
    oldest_first = sorted(rows, key=lambda row: (row["created_us"], row["payment_intent"]))
    found = {row["payment_intent"]: alone(row, rows, evidence) for row in rows}
    waiting = [row for row in oldest_first if found[row["payment_intent"]] is None]
    if evidence.log_complete and not evidence.debits_possible:
        rest = {row["payment_intent"]: by_log(row, evidence) for row in waiting}
    else:
        rest = by_balance(oldest_first, waiting, dict(found), balance, evidence)
    verdicts = {name: rest.get(name) or verdict or ("", "") for name, verdict in found.items()}
    list_what_is_dated_ahead(rows, verdicts, evidence)
    keep_back(oldest_first, verdicts, evidence)
    return verdicts


def list_what_is_dated_ahead(
    rows: list[Row], verdicts: dict[str, tuple[str, str]], evidence: Evidence
) -> None:
    """Put before a person what waits for a time that is not yet, and what waits for such a one."""
    latest = evidence.now_us + 2 * evidence.grace_us
    ahead = [
        row["payment_intent"]
        for row in rows
        if due(row, evidence) > latest and verdicts[row["payment_intent"]] == ("pending", "within_grace")
    ]
    for name, given in verdicts.items():
        if name in ahead:
            verdicts[name] = ("ambiguous", "dated_ahead")
        elif ahead and given == ("pending", "sibling_within_grace"):
            verdicts[name] = ("ambiguous", "withdrawn_may_cover")


def by_log(row: Row, evidence: Evidence) -> tuple[str, str]:
    """Say what the silence of a complete log means."""
    if silent_log_proves(row, evidence):
        return "lacking", "log_shows_none"
    return "pending", "log_behind" if due(row, evidence) <= evidence.now_us else "within_grace"


def unproved(row: Row, verdict: tuple[str, str] | None, evidence: Evidence) -> int:
    """Count the credits that a purchase which is not waiting may have in the balance without proof."""
    if row["doubt"]:
        return 1
    if verdict is None or verdict[0] in {"foreign", "lacking"}:
        return 0
    certificates = row["issued_rows"] or int(row["voided"] or row["shares_namespace"])
    return max(certificates - proofs(row, evidence), 0)


def largest_sum(amounts: list[int], limit: int) -> int:
    """Find what credits of these amounts can sum to at most, by trying all of them."""
    sums = [0]
    for amount in amounts:
        sums += [reached + amount for reached in sums]
    return max((reached for reached in sums if reached <= limit), default=limit)


@dataclass
class Room:
    """What an account's balance leaves for the purchases that nothing else proves, and who claims it."""

    held: int
    owed: int
    unsettled: int
    rivals: int
    settled: list[Row]
    corrected: list[Row]
    maybe: list[Row]
    covered: tuple[str, str]
    sibling: str

    @property
    def whole(self) -> bool:
        """Whether there is enough for all."""
        return self.held >= self.owed + self.unsettled + self.rivals


def room_of(rows: list[Row], waiting: list[Row], found: Found, balance: Row, evidence: Evidence) -> Room:
    """Count what is in the balance, and for whom."""

    def total(chosen: list[Row], count: Callable[[Row], int]) -> int:
        return sum(int(row["entitlement"]) * count(row) for row in chosen)

    def unseen(row: Row) -> int:
        return unproved(row, found[row["payment_intent"]], evidence)

    known = int(balance["known_other_wei"]) + total(rows, lambda row: proofs(row, evidence))
    settled = [row for row in waiting if due(row, evidence) <= min(balance["as_of_us"], evidence.now_us)]
    others = [row for row in rows if row not in waiting]
    maybe = [row for row in others if row["doubt"] or (found[row["payment_intent"]] or ("",))[0] == "pending"]
    return Room(
        held=int(balance["balance"]) - known,
        owed=total(settled, lambda _: 1),
        unsettled=total([row for row in waiting if row not in settled], lambda _: 1) + total(maybe, unseen),
        rivals=total([row for row in others if row not in maybe], unseen),
        settled=settled,
        corrected=[row for row in rows if row["receipts"] or row["corrected"] or row["doubt"]],
        maybe=maybe,
        covered=("credited", "top_ups_unknown" if evidence.other_writers else "balance_covers"),
        sibling="sibling_in_doubt" if any(row["doubt"] for row in rows) else "sibling_within_grace",
    )


def by_balance(
    rows: list[Row], waiting: list[Row], found: Found, balance: Row | None, evidence: Evidence
) -> dict[str, tuple[str, str]]:
    """Judge the waiting by the balance, the oldest covered first."""
    if balance is None or balance["balance"] is None:
        return {row["payment_intent"]: unread(row, "balance_unknown", evidence) for row in waiting}
    if balance["as_of_us"] < balance["proof_us"]:
        return {row["payment_intent"]: unread(row, "balance_outdated", evidence) for row in waiting}
    room = room_of(rows, waiting, found, balance, evidence)
    verdicts = {}
    upto = 0
    for row in waiting:
        upto += int(row["entitlement"]) if row in room.settled else 0
        verdicts[row["payment_intent"]] = one_by_balance(row, upto, room, evidence)
    keep_back_what_was_paid_elsewhere(room, verdicts)
    if room.held < 0 and not evidence.debits_possible:
        deny_what_a_log_says(verdicts, found)
    if not evidence.other_writers and not evidence.debits_possible:
        add_what_exact_balances_show(rows, verdicts, found, room, evidence)
    return verdicts


def keep_back_what_was_paid_elsewhere(room: Room, verdicts: dict[str, tuple[str, str]]) -> None:
    """Ask a person about what may have its credit elsewhere, and about whose place it may have taken."""
    flagged = [row for row in room.settled if row["stripe_address_differs"]]
    held = 0
    for row in flagged:
        if verdicts[row["payment_intent"]] == ("lacking", "balance_too_low"):
            verdicts[row["payment_intent"]] = ("ambiguous", "stripe_address_differs")
        else:
            held += int(row["entitlement"])
    left = min(held, room.held)
    for row in room.settled:
        if verdicts[row["payment_intent"]] == ("lacking", "balance_too_low"):
            if left > 0:
                verdicts[row["payment_intent"]] = ("ambiguous", "withdrawn_may_cover")
            left -= int(row["entitlement"])


def deny_what_a_log_says(verdicts: dict[str, tuple[str, str]], found: Found) -> None:
    """Believe no line of an unproved log about more than the account holds."""
    for name, given_before in found.items():
        if given_before in {("credited", "log_line"), ("credited", "mint_line")}:
            verdicts[name] = ("ambiguous", "balance_below_proven")


def one_by_balance(row: Row, upto: int, room: Room, evidence: Evidence) -> tuple[str, str]:
    """Judge one purchase; `upto` is what it and all older settled ones are owed."""
    if row["mint_refused"] and room.whole:
        return "ambiguous", "mint_refused_but_covered"
    if row not in room.settled:
        return room.covered if room.whole else ("pending", "within_grace")
    if evidence.debits_possible:
        uncertain = kept(row, room.sibling) if room.held >= room.owed + room.rivals else None
        return room.covered if room.whole else uncertain or ("ambiguous", "debits_possible")
    if room.held < 0:
        return "ambiguous", "balance_below_proven"
    return without_debits(row, upto, room)


def without_debits(row: Row, upto: int, room: Room) -> tuple[str, str]:
    """Judge by what the balance has space for."""
    doubtful = [row for row in room.corrected if row["doubt"]]
    amounts = [int(each["entitlement"]) for each in [*room.settled, *room.corrected, *doubtful]]
    ceiling = largest_sum(amounts, room.held)
    if upto - int(row["entitlement"]) >= ceiling:
        return "lacking", "balance_too_low"
    if upto > ceiling:
        return "ambiguous", "partly_covered"
    if upto <= room.held - room.unsettled - room.rivals:
        return room.covered
    return (
        kept(row, room.sibling) if upto <= room.held - room.rivals else ("ambiguous", "withdrawn_may_cover")
    )


def add_what_exact_balances_show(
    rows: list[Row], verdicts: dict[str, tuple[str, str]], found: Found, room: Room, evidence: Evidence
) -> None:
    """Where only purchases move the balance, show what was credited and withdrawn, and any surplus."""
    for name, given_before in found.items():
        verdicts.setdefault(name, given_before or ("", ""))
    for row in rows:
        verdict, reason = verdicts[row["payment_intent"]]
        certain = room.whole and row not in room.maybe and unproved(row, (verdict, reason), evidence)
        if certain and verdict == "withdrawn" and not reason.endswith("_after_credit"):
            verdicts[row["payment_intent"]] = ("withdrawn", reason + "_after_credit")
    credited = [row for row in rows if verdicts[row["payment_intent"]][0] == "credited"]
    if room.held > room.owed + room.unsettled + room.rivals and credited:
        verdicts[credited[-1]["payment_intent"]] = ("over_credited", "balance_exceeds")


def unread(row: Row, reason: str, evidence: Evidence) -> tuple[str, str]:
    """Wait for a balance."""
    return kept(row, reason) if due(row, evidence) <= evidence.now_us else ("pending", "within_grace")


def keep_back(rows: list[Row], verdicts: dict[str, tuple[str, str]], evidence: Evidence) -> None:
    """Take back what lacks where Stripe may withdraw it, or where a surplus of ours may cover it."""
    corrected = [row for row in rows if row["receipts"] or row["corrected"]]
    surplus = sum(int(row["entitlement"]) * max(proofs(row, evidence) - 1, 0) for row in corrected)
    doubtful = sum(int(row["entitlement"]) for row in rows if row["doubt"] and proofs(row, evidence))
    for row in rows:
        verdict, reason = verdicts[row["payment_intent"]]
        if verdict != "lacking":
            continue
        if not row["stripe_whole"]:
            verdicts[row["payment_intent"]] = ("pending", "stripe_not_whole")
        elif reason != "decided_by_person" and surplus > 0:
            verdicts[row["payment_intent"]] = ("ambiguous", "surplus_may_cover")
            surplus -= int(row["entitlement"])
        elif reason != "decided_by_person" and doubtful > 0:
            verdicts[row["payment_intent"]] = ("pending", "sibling_in_doubt")
            doubtful -= int(row["entitlement"])
