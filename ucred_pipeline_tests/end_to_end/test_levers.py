"""The safety lever, support's manual mint, and a person's word: each leaves who and why."""

from datetime import timedelta
from shutil import copy

import pytest

from ucred_pipeline.ledger.history import Entry
from ucred_pipeline.sandbox import PurchaseTruth
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal, Said

DAY = timedelta(days=1)
SIGNED = ("--reason", "ticket 4711", "--by", "Ida")


@pytest.fixture
def lacking(rehearse: Rehearse) -> Rehearsal:
    """A world in which four of forty lack, with a run that planned."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    assert world.reconcile(apply=False).code == 0
    return world


def first(world: Rehearsal) -> PurchaseTruth:
    """A purchase that is owed."""
    return next(iter(world.sandbox.truth.to_credit.values()))


def by_ida(world: Rehearsal) -> list[Entry]:
    """What the history has of Ida, and that it says why."""
    found = [entry for entry in world.told() if entry.actor == "Ida"]
    assert {entry.detail.get("reason") for entry in found} & {"ticket 4711"}
    return found


def break_of(world: Rehearsal, payment_intent: str) -> str:
    """The id of the open break of a purchase."""
    found = world.ucred("breaks", "--format", "json").document["breaks"]
    (name,) = (one["id"] for one in found if one["payment_intent"] == payment_intent)
    return str(name)


def resolve(world: Rehearsal, payment_intent: str, decision: str) -> Said:
    """Settle the break of a purchase."""
    return world.ucred("resolve", break_of(world, payment_intent), "--as", decision, *SIGNED)


def test_hold_and_release(lacking: Rehearsal) -> None:
    """A hold stops all sending while runs go on reading and judging; a release ends it."""
    assert lacking.ucred("hold", *SIGNED).code == 0
    again = lacking.ucred("hold", *SIGNED)
    assert (again.code, "already" in again.out) == (0, True)
    bought = lacking.sandbox.purchase("credited")
    lacking.later()

    held = lacking.reconcile()
    assert (held.code, held.document["hold"], lacking.sandbox.http_credits) == (4, "person", ())
    assert all(told in held.err for told in ("Ida: ticket 4711.", "status` says what to do"))
    assert lacking.verdict(bought)[0] == "credited"
    assert lacking.reconcile(apply=False).document["hold"] == "person"
    assert lacking.ucred("credit", first(lacking).namespace or "", *SIGNED, "--apply").code == 4
    assert lacking.ucred("release", *SIGNED).code == 0
    lacking.later()

    assert (lacking.reconcile().code, lacking.sent()) == (0, lacking.owed())
    assert [(entry.subject, entry.event) for entry in by_ida(lacking) if entry.subject == "hold:person"] == [
        ("hold:person", "raised"),
        ("hold:person", "released"),
    ]


def test_the_manual_mint(lacking: Rehearsal) -> None:
    """Support credits one purchase with its own memo; the pipeline then credits the others only."""
    owed, chosen = lacking.owed(), first(lacking)
    name = chosen.namespace or ""
    planned = lacking.ucred("credit", name, *SIGNED)
    assert (planned.code, "--apply" in planned.out, lacking.sandbox.http_credits) == (0, True, ())

    said = lacking.ucred("credit", name, *SIGNED, "--apply")

    assert (said.code, said.err) == (0, "")
    (credit,) = lacking.sandbox.http_credits
    assert credit.account == chosen.account
    prefix, namespace, attempt = credit.memo.split(":")
    assert (prefix, namespace) == ("manual_credit", name)
    assert attempt.partition(".")[2] == "1"
    lacking.later()
    assert lacking.reconcile().document["corrections"]["confirmed"] == 3
    lacking.later()
    assert lacking.reconcile().document["corrections"]["planned"] == 0
    assert lacking.sent() == owed
    assert lacking.verdict(chosen.payment_intent)[0] == "credited"
    assert [entry.subject for entry in by_ida(lacking) if entry.event == "manual_credit"]


def test_a_manual_mint_of_what_is_not_owed(lacking: Rehearsal) -> None:
    """Support cannot credit what was credited, not even twice in a row, and is told why."""
    name = first(lacking).namespace or ""
    assert lacking.ucred("credit", name, *SIGNED, "--apply").code == 0

    again = lacking.ucred("credit", name, *SIGNED, "--apply")

    assert (again.code, name in again.err) == (2, True)
    assert lacking.sent() == {name: 1}


def test_a_manual_mint_after_the_pipelines_own(lacking: Rehearsal) -> None:
    """What the pipeline credited support cannot credit again."""
    name = first(lacking).namespace or ""
    lacking.reconcile()

    assert lacking.ucred("credit", name, *SIGNED, "--apply").code == 2
    assert lacking.sent() == lacking.owed()


def test_a_manual_mint_that_is_in_doubt(lacking: Rehearsal) -> None:
    """A manual mint whose answer was lost is in doubt or settled like any other, and is never sent twice."""
    chosen = first(lacking)
    lacking.sandbox.faults.set("indexer-drop-before", account=chosen.account, times=1)

    said = lacking.ucred("credit", chosen.namespace or "", *SIGNED, "--apply")

    assert said.code == 5
    for _ in range(4):
        lacking.later()
        lacking.reconcile()
    assert lacking.sent() == lacking.owed()
    (memo,) = (found.memo for found in lacking.sandbox.http_credits if found.account == chosen.account)
    assert memo.startswith("manual_credit:")


@pytest.mark.parametrize("fault", ["indexer-drop-before", "indexer-drop-after"])
def test_a_person_settles_a_doubt(rehearse: Rehearse, fault: str) -> None:
    """A doubt is settled as a person found it: credited at once, not credited only after the quiescence."""
    world = rehearse(purchases=20, special_cases=False, lacking_share=0.05, logs=False)
    owed = first(world)
    world.sandbox.faults.set(fault, account=owed.account, times=1)
    assert world.reconcile().code == 5
    decision = "credited" if fault == "indexer-drop-after" else "not-credited"
    early = resolve(world, owed.payment_intent, decision)
    if decision == "not-credited":
        assert (early.code, "may still take effect" in early.err) == (2, True)
        world.later(timedelta(minutes=20))
        early = resolve(world, owed.payment_intent, decision)
    assert (early.code, early.err) == (0, "")

    for _ in range(2):
        world.later()
        assert world.reconcile().code == 0

    assert world.sent() == {owed.namespace: 1}
    assert world.verdict(owed.payment_intent)[0] == "credited"
    assert world.ucred("breaks", "--format", "json").document["breaks"] == []
    assert [entry.subject.partition(":")[0] for entry in by_ida(world)][:2] == ["attempt", "correction"]


@pytest.mark.parametrize("decision, sent", [("credited", 0), ("not-credited", 1)])
def test_a_person_settles_evidence_that_contradicts_itself(
    rehearse: Rehearse, decision: str, sent: int
) -> None:
    """An ambiguous purchase is credited once where a person says that it was not, and never otherwise."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0)
    bought = world.sandbox.purchase("ambiguous_capitals", age=2 * DAY)
    assert world.reconcile().document["verdicts"]["ambiguous"] == 1

    said = resolve(world, bought, decision)
    assert (said.code, said.err) == (0, "")
    for _ in range(2):
        world.later()
        assert world.reconcile().code == 0

    assert sum(world.sent().values()) == sent
    assert world.verdict(bought)[0] == "credited"
    assert [entry.event for entry in by_ida(world) if entry.subject == f"purchase:{bought}"] == ["decided"]


def test_what_cannot_be_settled_by_a_decision(lacking: Rehearsal) -> None:
    """A break that evidence decides is not settled by a person's word."""
    said = resolve(lacking, first(lacking).payment_intent, "credited")

    assert (said.code, "lacking" in said.err) == (2, True)


def test_explain(lacking: Rehearsal) -> None:
    """One purchase is told from payment to credit, by its PaymentIntent, its namespace, and the address."""
    chosen = first(lacking)
    lacking.reconcile()
    address = chosen.account.removeprefix("acct:user:")

    for name in (chosen.payment_intent, chosen.namespace or "", address):
        said = lacking.ucred("explain", name)
        assert (said.code, said.err) == (0, "")
        assert chosen.payment_intent in said.out
        assert lacking.ucred("explain", name, "--json").document
    assert "credited" in lacking.ucred("explain", chosen.payment_intent).out


def test_status(lacking: Rehearsal) -> None:
    """Where things stand is told to people and to programs: the ledger's place, the hold, and no secret."""
    lacking.reconcile()
    lacking.ucred("hold", *SIGNED)

    said = lacking.ucred("status")
    document = lacking.ucred("status", "--json").document

    assert (said.code, said.err) == (0, "")
    assert "ticket 4711" in said.out
    assert "ticket 4711" in str(document)
    assert "ledger.db" in "".join(said.out.split())
    assert lacking.secrets_in(said.out + str(document)) == []


def test_status_before_the_first_run(plain: Rehearsal) -> None:
    """A ledger in which nothing happened has a status as well."""
    assert plain.ucred("status").code == 0
    assert plain.ucred("status", "--json").document


def test_doctor(plain: Rehearsal) -> None:
    """Where everything is in order `doctor` says so, and has had no effect."""
    before = plain.sandbox.credits

    said = plain.ucred("doctor")

    assert (said.code, said.err) == (0, "")
    assert plain.secrets_in(said.out) == []
    assert plain.sandbox.credits == before


@pytest.mark.parametrize("fault", ["indexer-refuse", "stripe-forbid", "stripe-unauthorized"])
def test_doctor_finds_what_is_wrong(plain: Rehearsal, fault: str) -> None:
    """Whatever is out of order makes `doctor` end with 2, and it examines the rest all the same."""
    plain.config.write_text("[stripe]\nattempts = 1\n[indexer]\nattempts = 1\n", encoding="utf-8")
    plain.sandbox.faults.set(fault)

    said = plain.ucred("doctor")

    assert said.code == 2
    assert "Traceback" not in said.text
    assert plain.secrets_in(said.text) == []


@pytest.mark.parametrize("command", [("hold", *SIGNED), ("breaks",), ("verify",), ("release", *SIGNED)])
def test_a_lever_that_moves_nothing_says_so(lacking: Rehearsal, command: tuple[str, ...]) -> None:
    """In a shell without the pipeline's settings there is no ledger, and none is begun to be held in vain."""
    elsewhere = lacking.folder / "another ledger.db"
    lacking.variables["UCRED_DATABASE_URL"] = f"sqlite:///{elsewhere.as_posix()}"

    said = lacking.ucred(*command)

    assert (said.code, said.out, elsewhere.exists()) == (2, "", False)
    assert "there is no ledger at" in said.err


def test_a_hold_names_what_is_held(lacking: Rehearsal) -> None:
    """Whoever stops the pipeline sees which ledger it is that they stopped."""
    assert "ledger.db" in lacking.ucred("hold", *SIGNED).out


def test_a_credit_that_is_dropped_is_no_success(lacking: Rehearsal) -> None:
    """Where the account is not as it was judged nothing is sent, and the exit says so."""
    owed = first(lacking)
    lacking.sandbox.top_up(owed.account, 5)

    said = lacking.ucred("credit", str(owed.namespace), *SIGNED, "--apply")

    assert (said.code, said.out.strip(), lacking.sandbox.http_credits) == (4, "1 held", ())
    assert "evidence_changed" in said.err
    again = lacking.reconcile(apply=False)
    assert again.code == 0


def test_a_credit_counts_its_own_doubts_only(rehearse: Rehearse) -> None:
    """An older doubt that is settled on the way is not this credit, which is in doubt itself."""
    world = rehearse(purchases=8, special_cases=False, lacking_share=0)
    older = world.sandbox.purchase("lacking_indexer_down", email="a@example.com", age=2 * DAY)
    young = world.sandbox.purchase("lacking_indexer_down", email="b@example.com", age=timedelta(minutes=25))
    log, stale = world.variables["UCRED_INDEXER_LOG"], world.folder / "older.log"
    copy(log, stale)
    world.variables["UCRED_INDEXER_LOG"] = str(stale)
    world.sandbox.faults.set("indexer-drop-after", account="acct:user:a@example.com", times=1)
    assert world.reconcile().code == 5
    world.later(timedelta(minutes=10))
    world.reconcile(apply=False)
    world.variables["UCRED_INDEXER_LOG"] = log
    world.sandbox.faults.set("indexer-drop-before", account="acct:user:b@example.com", times=1)

    namespace = world.sandbox.truth.purchases[young].namespace
    said = world.ucred("credit", str(namespace), *SIGNED, "--apply")

    assert (said.code, said.out.strip()) == (5, "1 in doubt")
    assert (world.verdict(older)[0], world.verdict(young)[0]) == ("credited", "in_doubt")


def test_the_purchases_of_another_world_are_not_credited(lacking: Rehearsal, rehearse: Rehearse) -> None:
    """What a trial read of one world is not credited in another: a person says whether they are the same."""
    another = rehearse(purchases=8, special_cases=False, lacking_share=0)
    lacking.later()
    another.later()
    elsewhere = {
        name: value for name, value in another.variables.items() if not name.startswith("UCRED_DATABASE")
    }
    lacking.variables |= elsewhere

    said = lacking.reconcile()

    assert (said.code, said.document["hold"], another.sandbox.http_credits) == (4, "another_world", ())
    assert "this ledger has been fed from another" in said.err
    assert "another_world" in lacking.ucred("release", *SIGNED).out


def test_the_key_of_another_account_reads_nothing(lacking: Rehearsal) -> None:
    """What an account does not know that this ledger has read is another account's: nothing is decided."""
    lacking.reconcile(apply=False)
    with lacking.ledger() as ledger, ledger.write() as connection:
        newest = "(SELECT max(created) FROM payments)"
        connection.exec_driver_sql(
            f"UPDATE payments SET payment_intent = 'pi_other' WHERE created = {newest}"
        )
    lacking.later()

    said = lacking.reconcile()

    assert (said.code, lacking.sandbox.http_credits) == (3, ())
    assert "unknown to the account of STRIPE_API_KEY" in said.err
