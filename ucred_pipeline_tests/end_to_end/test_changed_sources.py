"""What changes in the sources after a credit does not make a second one, and hides nobody's missing one."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from ucred_pipeline.domain.money import WEI_PER_UCRED
from ucred_pipeline.orchestration.reading import _StripeReader
from ucred_pipeline.sources import stripe_connection, stripe_walk
from ucred_pipeline.sources.errors import SourceUnreadable
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal
from ucred_pipeline_tests.end_to_end.test_levers import SIGNED, resolve

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OLD = "old@example.com"
NEW = "new@example.com"
#: The settings of logs, of which an installation may have none.
INDEXER_LOG = "UCRED_INDEXER_LOG"
LOGS = (INDEXER_LOG, "UCRED_PAYMENTS_LOG")
REWARDS = """
[[rewards]]
type = "namespace"
ucred = "{0}"
[[rewards]]
type = "friends_and_family"
ucred = "{0}"
[[rewards]]
type = "nil"
ucred = "{0}"
"""


@pytest.fixture
def world(rehearse: Rehearse) -> Rehearsal:
    """A small world with logs in which everybody was credited."""
    return rehearse(purchases=8, special_cases=False, lacking_share=0)


@pytest.fixture(params=[True, False], ids=["with logs", "without logs"])
def either(world: Rehearsal, request: pytest.FixtureRequest) -> Rehearsal:
    """The same world, as installations with logs and without see it."""
    return world if request.param else without(world, *LOGS)


def without(world: Rehearsal, *settings: str) -> Rehearsal:
    """Take settings away from the pipeline."""
    world.variables = {name: value for name, value in world.variables.items() if name not in settings}
    return world


def change(world: Rehearsal, payment_intent: str, **columns: str) -> None:
    """Somebody edits the row of a certificate in the payments database."""
    _edit(world, "issuances", "payment_intent_id", payment_intent, columns)


def move(world: Rehearsal, payment_intent: str, address: str) -> None:
    """Somebody changes the address of a purchase in both tables of the payments database."""
    change(world, payment_intent, customer_email=address)
    _edit(world, "payment_intents", "id", payment_intent, {"customer_email": address})


def _edit(world: Rehearsal, table: str, key: str, payment_intent: str, columns: dict[str, str]) -> None:
    changed = ", ".join(f"{column} = ?" for column in columns)
    values = [*columns.values(), local_id(world, payment_intent)]
    with closing(sqlite3.connect(world.sandbox.folder / "payments.db")) as connection, connection:
        edited = connection.execute(f"UPDATE {table} SET {changed} WHERE {key} = ?", values)
    assert edited.rowcount == 1


def local_id(world: Rehearsal, payment_intent: str) -> str:
    """What the payments database calls a purchase."""
    return world.sandbox.world.purchases[payment_intent].local_id


def held(world: Rehearsal, *addresses: str) -> list[float]:
    """How many UCRED each address holds."""
    return [world.balance(f"acct:user:{address}") / WEI_PER_UCRED for address in addresses]


def run_again(world: Rehearsal, times: int = 1) -> None:
    """Run a quarter of an hour later, and perhaps once more after another one."""
    for _ in range(times):
        world.later()
        assert world.reconcile().code == 0


@pytest.mark.parametrize(
    "missing, address",
    [((), NEW), ((INDEXER_LOG,), OLD.title()), (LOGS, NEW)],
    ids=["both logs", "payments log", "no logs"],
)
def test_an_address_changed_after_the_credit(
    world: Rehearsal, missing: tuple[str, ...], address: str
) -> None:
    """The new address seems to lack what the old one has: that is a person's matter, and is not sent."""
    bought = without(world, *missing).sandbox.purchase("credited", email=OLD, age=2 * DAY)
    assert world.reconcile().code == 0
    assert world.verdict(bought)[0] == "credited"

    move(world, bought, address)
    run_again(world, times=2)

    assert world.verdict(bought) == ("ambiguous", "addresses_differ")
    (found,) = world.ucred("breaks", "--format", "json").document["breaks"]
    assert (found["payment_intent"], world.sandbox.http_credits) == (bought, ())


def test_the_address_of_the_certificate_alone_changed(world: Rehearsal) -> None:
    """An address that was changed in one table only is a person's matter as well."""
    bought = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=2 * DAY)
    assert world.reconcile().code == 0

    change(world, bought, customer_email=NEW)
    run_again(world)

    assert world.verdict(bought) == ("ambiguous", "addresses_differ")
    assert world.sandbox.http_credits == ()


def test_a_namespace_changed_after_the_credit(either: Rehearsal) -> None:
    """A purchase that was renamed is not credited under its new name, which no memo has."""
    bought = either.sandbox.purchase("credited", age=2 * DAY)
    assert either.reconcile().code == 0

    change(either, bought, namespace="renamed.x")
    run_again(either)

    assert either.verdict(bought)[0] == "ambiguous"
    assert either.sandbox.http_credits == ()


def test_an_address_changed_after_somebody_credited_what_lacked(world: Rehearsal) -> None:
    """What lacked in the last run may have been credited before it moved, and is not sent elsewhere."""
    bought = without(world, *LOGS).sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    assert world.reconcile(apply=False).document["verdicts"]["lacking"] == 1

    world.sandbox.credit(bought)
    move(world, bought, NEW)
    run_again(world)

    assert world.verdict(bought) == ("ambiguous", "addresses_differ")
    assert world.sandbox.http_credits == ()


@pytest.mark.parametrize("missing", [(), LOGS], ids=["with logs", "without logs"])
def test_an_address_changed_before_anything_was_issued(world: Rehearsal, missing: tuple[str, ...]) -> None:
    """A purchase that moved while nothing can have credited it is credited once, where a log shows that."""
    bought = without(world, *missing).sandbox.purchase("unissued_failed", email=OLD, age=2 * DAY)
    assert world.reconcile().code == 0
    assert world.verdict(bought)[0] == "unissued"

    move(world, bought, NEW)
    change(world, bought, state="issued")
    run_again(world)

    by_person = ("ambiguous", "stripe_address_differs")
    assert world.verdict(bought) == (by_person if missing else ("credited", "receipt"))
    assert held(world, OLD, NEW) == [0, 0 if missing else 1]


def test_a_receipt_covers_for_nobody_on_the_new_account(either: Rehearsal) -> None:
    """What we credited for a purchase that moved counts for none of those who bought with its new address."""
    buy = either.sandbox.purchase
    moved = [buy("lacking_indexer_down", email=f"{name}.{OLD}", age=3 * DAY) for name in ("ada", "bo")]
    assert either.reconcile().document["corrections"]["confirmed"] == 2
    for one, name in zip(moved, ("ada", "bo"), strict=True):
        move(either, one, f"{name}.{NEW}")
    siblings = [buy("credited", email=f"ada.{NEW}"), buy("lacking_indexer_down", email=f"bo.{NEW}")]
    either.later(HOUR)

    run_again(either, times=2)

    assert [either.verdict(one) for one in moved] == [("credited", "receipt")] * 2
    assert [either.verdict(one)[0] for one in siblings] == ["credited"] * 2
    assert held(either, f"ada.{OLD}", f"ada.{NEW}", f"bo.{OLD}", f"bo.{NEW}") == [1, 1, 1, 1]
    assert len(either.sandbox.http_credits) == 3


def test_a_receipt_hides_nobody_on_the_account_that_it_credited(either: Rehearsal) -> None:
    """What we credited for a purchase that moved does not pass for the next purchase of its old account."""
    moved = either.sandbox.purchase("lacking_indexer_down", email=OLD, age=3 * DAY)
    assert either.reconcile().document["corrections"]["confirmed"] == 1
    move(either, moved, NEW)
    either.later()
    missing = either.sandbox.purchase("lacking_indexer_down", email=OLD)
    either.later(HOUR)

    run_again(either, times=2)

    assert [either.verdict(found) for found in (moved, missing)] == [("credited", "receipt")] * 2
    assert (held(either, OLD, NEW), len(either.sandbox.http_credits)) == ([2, 0], 2)


def test_a_certificate_re_pointed_at_another_payment_of_the_buyer(either: Rehearsal) -> None:
    """A certificate that was credited and then given to the buyer's other payment earns nothing again."""
    first = either.sandbox.purchase("credited", email=OLD, age=3 * DAY)
    second = either.sandbox.purchase("unissued_without_row", email=OLD, age=2 * DAY)
    assert either.reconcile().code == 0

    change(either, first, payment_intent_id=local_id(either, second))
    run_again(either)

    assert either.verdict(second)[0] == "ambiguous"
    assert either.sandbox.http_credits == ()


def test_a_certificate_re_pointed_at_the_payment_of_another(world: Rehearsal) -> None:
    """With the log, a credit of the certificate's former owner makes it a person's matter for the new one."""
    first = world.sandbox.purchase("credited", email=OLD, age=3 * DAY)
    second = world.sandbox.purchase("unissued_without_row", email=NEW, age=2 * DAY)
    assert world.reconcile().code == 0

    change(world, first, customer_email=NEW, payment_intent_id=local_id(world, second))
    run_again(world)

    assert world.verdict(second) == ("ambiguous", "credited_elsewhere")
    assert world.sandbox.http_credits == ()


@pytest.mark.parametrize(
    "missing, reward",
    [((), "2"), (LOGS, "2"), (LOGS, "0.5")],
    ids=["raised, with logs", "raised, without logs", "lowered, without logs"],
)
def test_a_reward_that_changed_between_two_runs(
    world: Rehearsal, missing: tuple[str, ...], reward: str
) -> None:
    """What was credited keeps what it earned: no difference is sent, and none is a break."""
    minted = without(world, *missing).sandbox.purchase("nil_labelled", age=2 * DAY)
    ours = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    assert world.reconcile().document["corrections"]["confirmed"] == 1

    world.config.write_text(REWARDS.format(reward), encoding="utf-8")
    run_again(world)

    judged = world.judged()
    assert {judged[name].entitlement for name in (minted, ours)} == {WEI_PER_UCRED}
    assert {judged[name].verdict for name in (minted, ours)} == {"credited"}
    assert world.sent_to() == {f"acct:user:{OLD}": WEI_PER_UCRED}
    assert world.ucred("breaks", "--format", "json").document["breaks"] == []


def test_what_the_payments_api_mints_changed_between_two_runs(world: Rehearsal) -> None:
    """What half a reward on an account may be is judged again when the settings say what a mint is."""
    world.config.write_text(REWARDS.format("2"), encoding="utf-8")
    bought = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=2 * DAY)
    world.reconcile(apply=False)
    by_halves = world.verdict(bought)

    world.config.write_text(f"[purchases]\nminted_ucred = 2\n{REWARDS.format('2')}", encoding="utf-8")
    world.later()
    world.reconcile(apply=False)

    assert by_halves == ("ambiguous", "partly_covered")
    assert world.verdict(bought) == ("lacking", "balance_too_low")


QUIET = "[evidence]\nother_writers = false\n"


@pytest.fixture(params=[True, False], ids=["top-ups happen", "nobody else writes"])
def by_balances(rehearse: Rehearse, request: pytest.FixtureRequest) -> Rehearsal:
    """A small world without logs, where all that is known is what an account holds."""
    rules = f"[evidence]\nother_writers = {str(request.param).lower()}\n"
    return rehearse(rules, purchases=8, special_cases=False, lacking_share=0, logs=False)


def test_a_decision_about_an_account_that_the_purchase_has_left(by_balances: Rehearsal) -> None:
    """What a person looked for on one account says nothing of a mint on the next: it lapses, unsent."""
    by_balances.sandbox.purchase("credited", email=OLD, age=5 * DAY)
    bought = by_balances.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    _edit(by_balances, "payment_intents", "id", bought, {"customer_email": "another@example.com"})
    by_balances.reconcile()
    assert by_balances.ucred("hold", *SIGNED).code == 0
    assert resolve(by_balances, bought, "not-credited").code == 0

    move(by_balances, bought, NEW)
    change(by_balances, bought, issued_at=by_balances.clock.now().isoformat())
    by_balances.sandbox.top_up(f"acct:user:{NEW}", WEI_PER_UCRED)  # the payments API mints for it there
    for _ in range(4):
        by_balances.later()
        by_balances.reconcile()
    assert by_balances.ucred("release", *SIGNED).code == 0
    run_again(by_balances)

    assert (held(by_balances, NEW), by_balances.sandbox.http_credits) == ([1], ())
    assert by_balances.verdict(bought) == ("ambiguous", "addresses_differ")
    explained = " ".join(by_balances.ucred("explain", bought).text.split())
    assert "the purchase has another account since" in explained


def test_an_unpaid_certificate_may_have_been_minted_for(by_balances: Rehearsal) -> None:
    """Paid or not, a certificate is minted for: when it moves, its mint may be where it was."""
    bought = by_balances.sandbox.purchase("unpaid_abandoned", email=OLD, age=2 * DAY)
    by_balances.sandbox.top_up(f"acct:user:{OLD}", WEI_PER_UCRED)  # the payments API's mint
    by_balances.reconcile()
    assert by_balances.verdict(bought)[0] == "unpaid"

    move(by_balances, bought, NEW)
    by_balances.sandbox.succeed(bought)
    for _ in range(4):
        by_balances.later()
        by_balances.reconcile()

    assert by_balances.verdict(bought) == ("ambiguous", "addresses_differ")
    assert (held(by_balances, OLD, NEW), by_balances.sandbox.http_credits) == ([1, 0], ())


def test_a_credit_that_was_left_behind_hides_nobody(by_balances: Rehearsal) -> None:
    """What a purchase had on the account that it left passes for no other purchase of that account."""
    moved = by_balances.sandbox.purchase("credited", email=OLD, age=5 * DAY)
    lacking = by_balances.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    by_balances.reconcile(apply=False)
    assert by_balances.ucred("hold", *SIGNED).code == 0
    assert by_balances.verdict(lacking)[0] == "lacking"

    move(by_balances, moved, NEW)
    by_balances.later()
    by_balances.reconcile()
    assert resolve(by_balances, moved, "credited").code == 0
    by_balances.later()
    by_balances.reconcile()

    assert by_balances.verdict(lacking) == ("ambiguous", "withdrawn_may_cover")
    assert resolve(by_balances, lacking, "not-credited").code == 0
    assert by_balances.ucred("release", *SIGNED).code == 0
    run_again(by_balances, times=2)
    assert held(by_balances, OLD, NEW) == [2, 0]


def test_an_account_is_not_quiet_where_a_young_purchase_was(rehearse: Rehearse) -> None:
    """The mint of a newer purchase is not taken for ours, though that one has another account since."""
    world = rehearse(QUIET, purchases=8, special_cases=False, lacking_share=0, logs=False)
    ours = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    world.sandbox.faults.set("indexer-drop-before", account=f"acct:user:{OLD}", times=1)
    world.reconcile()
    world.later(timedelta(minutes=3))
    newer = world.sandbox.purchase("credited", email=OLD)
    world.later(timedelta(minutes=12))
    world.reconcile()

    move(world, newer, NEW)
    for _ in range(5):
        world.later()
        world.reconcile()

    assert world.attempts() == {"in_doubt": 1}
    assert world.verdict(ours)[0] == "in_doubt"
    assert held(world, OLD, NEW) == [1, 0]


def test_a_voided_certificate_beside_another_may_have_been_minted_for(rehearse: Rehearse) -> None:
    """One payment with two certificates, one of them void, may have two mints: they cover for nobody else."""
    world = rehearse(QUIET, purchases=8, special_cases=False, lacking_share=0, logs=False)
    twice = world.sandbox.purchase("credited", email=OLD, age=5 * DAY)
    world.sandbox.top_up(f"acct:user:{OLD}", WEI_PER_UCRED)  # minted for each
    lacking = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    void_another(world, twice)
    run_for_persons(world)

    assert world.verdict(lacking) == ("ambiguous", "withdrawn_may_cover")
    assert held(world, OLD) == [2]


def void_another(world: Rehearsal, payment_intent: str) -> None:
    """Let a purchase have had one more certificate, which is void."""
    with closing(sqlite3.connect(world.sandbox.folder / "payments.db")) as connection, connection:
        connection.row_factory = sqlite3.Row
        one = "SELECT * FROM issuances WHERE payment_intent_id = ?"
        row = dict(connection.execute(one, [local_id(world, payment_intent)]).fetchone())
        row |= {"id": "second", "namespace": "second.x", "download_token": "second", "state": "voided"}
        row |= {"voided_at": "2026-01-30 12:00:00"}
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO issuances ({', '.join(row)}) VALUES ({places})", [*row.values()])


def run_for_persons(world: Rehearsal) -> None:
    """Run twice; what is for a person is no fault of the run."""
    for _ in range(2):
        world.later()
        assert world.reconcile().code in {0, 5}


def test_a_planned_correction_whose_purchase_moved_is_told(rehearse: Rehearse) -> None:
    """It keeps the account that it was planned for and cannot go on: exit 4 says so, and how it is sent."""
    world = rehearse(purchases=8, special_cases=False, lacking_share=0, logs=False)
    bought = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    token = world.sandbox.spec.token
    world.sandbox.set_token("another")
    assert world.reconcile().code == 4
    world.sandbox.set_token(token)
    move(world, bought, NEW)
    world.later()
    world.reconcile()
    assert resolve(world, bought, "not-credited").code == 0
    world.later()

    said = world.reconcile()

    assert (said.code, said.document["hold"], said.document["corrections"]["held"]) == (
        4,
        "purchase_changed",
        1,
    )
    assert "credit NAMESPACE --apply" in said.err
    namespace = world.sandbox.truth.purchases[bought].namespace
    assert world.ucred("credit", str(namespace), *SIGNED, "--apply").code == 0
    assert held(world, OLD, NEW) == [0, 1]
    run_again(world)


def test_a_mint_on_another_account_before_the_first_look(world: Rehearsal) -> None:
    """The payments API's log names the namespace: who has another address since is not credited again."""
    bought = without(world, INDEXER_LOG).sandbox.purchase("credited", email=OLD, age=20 * DAY)
    move(world, bought, NEW)

    assert world.reconcile().code == 0

    assert world.verdict(bought) == ("ambiguous", "credited_elsewhere")
    assert (held(world, OLD, NEW), world.sandbox.http_credits) == ([1, 0], ())


def test_an_address_changed_between_the_read_and_the_first_judgement(world: Rehearsal) -> None:
    """A run that read the certificate and ended before it judged has seen under which account it was."""
    bought = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=2 * DAY)
    address = world.variables["RUST_L1_INDEXER"]
    world.variables["RUST_L1_INDEXER"] = "http://127.0.0.1:9"
    assert world.reconcile().code == 3
    world.variables["RUST_L1_INDEXER"] = address

    move(world, bought, NEW)
    run_again(world)

    assert world.verdict(bought) == ("ambiguous", "addresses_differ")
    assert world.sandbox.http_credits == ()


def test_a_refund_while_the_first_sweep_was_cut_off(world: Rehearsal) -> None:
    """What a first sweep had read before it was cut off is asked for changes when it goes on, days later."""
    refunded = world.sandbox.purchase("lacking_indexer_down", age=DAY)
    with (
        mock.patch.object(stripe_walk, "CHUNK", 1),
        mock.patch.object(stripe_connection, "PAGE_SIZE", 3),
        mock.patch.object(_StripeReader, "_keep_window", cut_off_after(_StripeReader._keep_window)),
    ):
        assert world.reconcile(apply=False).code == 3
    world.later(2 * DAY)
    world.sandbox.refund(refunded)
    world.later(HOUR)

    assert world.reconcile().code == 0

    assert world.verdict(refunded) == ("withdrawn", "refunded")
    assert world.sandbox.http_credits == ()


def cut_off_after(honest: Any) -> Any:
    """Let Stripe go away as soon as a part of a sweep is kept."""

    def keep_window(reader: Any, since: Any) -> Any:
        keep = honest(reader, since)

        def kept(window: Any, payments: Any) -> None:
            keep(window, payments)
            raise SourceUnreadable("Stripe", "it went away", "Try again later.")

        return kept

    return keep_window


def test_an_address_changed_before_the_first_look(world: Rehearsal) -> None:
    """Stripe knows the address that was paid with: a balance of the new one proves nothing of that."""
    bought = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=2 * DAY)
    move(world, bought, NEW)

    run_again(world, times=2)

    assert world.verdict(bought) == ("ambiguous", "stripe_address_differs")
    assert world.sandbox.http_credits == ()


def test_what_was_paid_with_another_address_covers_for_nobody(world: Rehearsal) -> None:
    """A mint for the address that paid is no credit of another purchase that has this address."""
    lacking = without(world, *LOGS).sandbox.purchase("lacking_indexer_down", email=OLD, age=3 * DAY)
    moved = world.sandbox.purchase("credited", email=OLD, age=2 * DAY)
    move(world, moved, NEW)

    run_again(world)

    assert world.verdict(lacking) == ("ambiguous", "withdrawn_may_cover")
    assert world.verdict(moved) == ("ambiguous", "stripe_address_differs")
    assert world.sandbox.http_credits == ()


def test_what_was_paid_with_another_address_takes_nobodys_place(world: Rehearsal) -> None:
    """A purchase that was minted where it was paid for does not push another of its new account out of it."""
    moved = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=3 * DAY)
    newer = world.sandbox.purchase("credited", email=NEW, age=2 * DAY)
    move(world, moved, NEW)

    run_again(world, times=2)

    assert world.verdict(newer) == ("ambiguous", "withdrawn_may_cover")
    assert world.verdict(moved)[0] == "credited"
    assert world.sandbox.http_credits == ()


def test_a_denial_lets_the_account_that_was_left_be_judged(world: Rehearsal) -> None:
    """Once a person says that a purchase was never credited, what its old account holds is another's."""
    other = without(world, *LOGS).sandbox.purchase("credited", email=OLD, age=3 * DAY)
    moved = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    move(world, moved, NEW)
    run_again(world)
    assert world.verdict(other) == ("ambiguous", "withdrawn_may_cover")

    assert resolve(world, moved, "not-credited").code == 0
    run_again(world)

    assert world.verdict(other)[0] == "credited"
    assert (world.verdict(moved)[0], held(world, OLD, NEW)) == ("credited", [1, 1])


def test_an_address_put_right_at_stripe(world: Rehearsal) -> None:
    """Where Stripe is given the address of the purchase later, it has not moved: a log decides as before."""
    bought = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    move(world, bought, NEW)
    assert world.reconcile(apply=False).document["verdicts"]["lacking"] == 1

    at_stripe = world.sandbox.world.stripe.intents
    at_stripe.put(replace(world.sandbox.world.stripe.intent(bought), email=NEW))
    world.later()
    day = f"{world.clock.now() - 2 * DAY:%Y-%m-%d}"
    assert world.reconcile("--from", day, "--to", day).code == 0

    assert (world.verdict(bought), held(world, OLD, NEW)) == (("credited", "receipt"), [0, 1])


def test_an_address_changed_before_the_first_look_by_logs(world: Rehearsal) -> None:
    """A complete log shows that neither address was credited: the present one is."""
    bought = world.sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    move(world, bought, NEW)

    run_again(world)

    assert (world.verdict(bought)[0], held(world, OLD, NEW)) == ("credited", [0, 1])


def test_an_address_in_other_capitals_at_stripe(world: Rehearsal) -> None:
    """Capitals that Stripe does not have are no other address: what lacks by the balance is credited."""
    bought = without(world, *LOGS).sandbox.purchase("lacking_indexer_down", email=OLD, age=2 * DAY)
    move(world, bought, OLD.title())

    run_again(world)

    assert (world.verdict(bought)[0], held(world, OLD, OLD.title())) == ("credited", [0, 1])


def test_a_certificate_dated_ahead(either: Rehearsal) -> None:
    """A certificate of a time that is not yet is before a person at once, and judged when that has come."""
    bought = either.sandbox.purchase("lacking_indexer_down", age=2 * DAY)
    change(either, bought, issued_at=(either.clock.now() + DAY).isoformat())

    assert either.reconcile().code == 0
    assert (either.verdict(bought), either.sandbox.http_credits) == (("ambiguous", "dated_ahead"), ())
    either.later(DAY + HOUR)
    assert either.reconcile().code == 0
    assert either.verdict(bought)[0] == "credited"
