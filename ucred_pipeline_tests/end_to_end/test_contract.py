"""What programs rely on: exit codes, documents and their fields, and what goes to which stream."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

from ucred_pipeline.domain.verdicts import Verdict
from ucred_pipeline.orchestration import judgement
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

DAY = timedelta(days=1)
#: Cases whose purchase has no certificate to be named by, or two.
NAMELESS = {"unissued_without_row", "unissued_unknown_to_database", "ambiguous_twice_issued"}
BREAK_FIELDS = [
    "id",
    "kind",
    "verdict",
    "reason",
    "payment_intent",
    "namespace",
    "account",
    "amount_wei",
    "first_seen",
    "age_s",
]


@pytest.fixture
def special(rehearse: Rehearse) -> Rehearsal:
    """A world of two hundred purchases with every case."""
    return rehearse()


@pytest.fixture
def lacking(rehearse: Rehearse) -> Rehearsal:
    """A world without logs in which four of forty lack."""
    return rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=False)


def test_the_document_of_a_run(special: Rehearsal) -> None:
    """Each field of `reconcile --json` is there, counts add up, and standard error is silent."""
    said = special.reconcile()
    document = said.document

    assert list(document) == [
        "run_id",
        "from",
        "to",
        "mode",
        "purchases",
        "verdicts",
        "corrections",
        "mint_success_rate",
        "plan",
        "hold",
        "breaks_open",
    ]
    assert set(document["verdicts"]) == {verdict.value for verdict in Verdict}
    assert list(document["corrections"]) == ["planned", "confirmed", "refused", "in_doubt", "held"]
    assert document["purchases"] == sum(document["verdicts"].values()) == len(special.judged())
    assert (document["from"], document["to"], document["mode"]) == (None, None, "apply")
    assert 0 <= document["mint_success_rate"] < 1
    assert len(bytes.fromhex(document["plan"])) == 32
    assert document["hold"] is None
    assert document["breaks_open"] == len(special.ucred("breaks", "--format", "json").document["breaks"])
    assert said.err == ""
    assert special.secrets_in(said.out) == []


def test_a_run_without_apply_sends_nothing(special: Rehearsal) -> None:
    """Without `--apply` a run plans and sends nothing, and says so."""
    document = special.reconcile(apply=False).document

    owed = len(special.owed())
    assert document["mode"] == "plan"
    assert document["corrections"] == {
        "planned": owed,
        "confirmed": 0,
        "refused": 0,
        "in_doubt": 0,
        "held": 0,
    }
    assert document["verdicts"]["lacking"] == owed
    assert (special.sandbox.http_credits, special.corrections()) == ((), {})


def test_a_run_for_people(special: Rehearsal) -> None:
    """Without `--json` a run says in plain words what it found and did, without an address."""
    said = special.ucred("reconcile", "--apply")

    assert said.code == 0
    assert "23 confirmed" in said.out
    assert special.secrets_in(said.text) == []


def test_the_document_of_breaks(special: Rehearsal) -> None:
    """`breaks --format json` has every open break with all of its fields, of every kind that there is."""
    special.reconcile(apply=False)
    special.later(timedelta(seconds=90))

    found = special.ucred("breaks", "--format", "json").document["breaks"]

    truth = special.sandbox.truth.purchases
    assert [list(one) for one in found] == [BREAK_FIELDS] * len(found)
    assert len({one["id"] for one in found}) == len(found)
    for one in found:
        known = truth[one["payment_intent"]]
        assert one["kind"] == one["verdict"] == known.verdict_with_logs
        assert one["account"] in {known.account, None}
        assert one["namespace"] == known.namespace or known.case in NAMELESS
        assert int(one["amount_wei"]) in {0, 10**18}
        assert one["age_s"] == 90
        assert one["reason"]
        assert datetime.fromisoformat(one["first_seen"]) == special.clock.now() - timedelta(seconds=90)
    assert {one["kind"] for one in found} == {
        "lacking",
        "ambiguous",
        "unissued",
        "unpaid",
        "over_credited",
        "withdrawn",
    }


def test_breaks_of_one_kind(special: Rehearsal) -> None:
    """`--kind` gives the breaks of that kind alone, and refuses a kind that there is not."""
    special.reconcile(apply=False)

    found = special.ucred("breaks", "--kind", "lacking", "--format", "json").document["breaks"]

    assert {one["kind"] for one in found} == {"lacking"}
    assert {one["payment_intent"] for one in found} == set(special.sandbox.truth.to_credit)
    assert special.ucred("breaks", "--kind", "nonsense").code == 2


def test_breaks_as_csv(special: Rehearsal) -> None:
    """`breaks --format csv` has the same rows as the document, and no cell that a spreadsheet would run."""
    special.reconcile(apply=False)
    document = special.ucred("breaks", "--format", "json").document["breaks"]

    said = special.ucred("breaks", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["id"] for row in rows] == [one["id"] for one in document]
    assert list(rows[0]) == BREAK_FIELDS
    assert rows[0]["amount_wei"] == document[0]["amount_wei"]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in {"=", "+", "-", "@"}]


def test_breaks_for_people(special: Rehearsal) -> None:
    """The table of breaks names each of them."""
    special.reconcile(apply=False)
    found = special.ucred("breaks", "--format", "json").document["breaks"]

    said = special.ucred("breaks")

    assert said.code == 0
    assert [one["id"] for one in found if one["id"] not in said.out] == []


def test_a_break_keeps_its_id_and_ends(lacking: Rehearsal) -> None:
    """A break has the same id and the same beginning from run to run, and is gone once it is put right."""
    lacking.reconcile(apply=False)
    first = lacking.ucred("breaks", "--format", "json").document["breaks"]
    lacking.later()
    lacking.reconcile(apply=False)
    second = lacking.ucred("breaks", "--format", "json").document["breaks"]
    lacking.reconcile()

    stable = [(one["id"], one["first_seen"]) for one in first]
    assert stable == [(one["id"], one["first_seen"]) for one in second]
    assert lacking.ucred("breaks", "--format", "json").document == {"breaks": []}


def test_exit_0_and_4_and_5(lacking: Rehearsal) -> None:
    """A hold is 4, a correction left in doubt 5, and all done 0."""
    assert lacking.reconcile(apply=False).code == 0
    assert lacking.ucred("hold", "--reason", "a look", "--by", "Ida").code == 0
    held = lacking.reconcile()
    assert (held.code, held.document["hold"], held.document["corrections"]["held"]) == (4, "person", 4)
    assert lacking.ucred("release", "--reason", "looked", "--by", "Ida").code == 0
    lacking.sandbox.faults.set("indexer-drop-before", account=next(iter(lacking_accounts(lacking))))
    doubtful = lacking.reconcile()
    assert doubtful.code == 5
    assert doubtful.document["corrections"]["in_doubt"] == 1
    assert doubtful.document["corrections"]["confirmed"] == 3
    lacking.later()

    assert lacking.reconcile().code == 0


def lacking_accounts(world: Rehearsal) -> list[str]:
    """The accounts that lack something."""
    return sorted(found.account for found in world.sandbox.truth.to_credit.values())


def test_exit_1_is_a_fault_of_ours(special: Rehearsal) -> None:
    """What nobody foresaw is exit 1, told by its kind and place, and not by its text."""
    with mock.patch.object(judgement, "judge", side_effect=RuntimeError("canary of ada@example.com")):
        said = special.reconcile()

    assert (said.code, said.document) == (1, None)
    assert "RuntimeError" in said.err
    assert "canary" not in said.text
    assert "Traceback" not in said.text


def test_exit_5_where_the_indexer_refuses_an_amount(rehearse: Rehearse) -> None:
    """A credit that would overflow is refused for good: exit 5, and it is never tried again."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.05)
    account = lacking_accounts(world)[0]
    world.sandbox.top_up(account, 2**128 - 1 - world.balance(account))

    said = world.reconcile()
    world.later(DAY)
    again = world.reconcile()

    assert (said.code, said.document["corrections"]["refused"]) == (5, 1)
    assert world.attempts()["not_applied"] == 1
    assert (again.code, again.document["corrections"]["planned"]) == (0, 0)


@pytest.mark.parametrize("both", [True, False])
def test_days(special: Rehearsal, *, both: bool) -> None:
    """`--from` and `--to` limit what is planned to those UTC days, although other days lack as well."""
    days = sorted(_day(special, name) for name in special.sandbox.truth.to_credit)
    since = days[len(days) // 2]
    until = days[-2] if both else None
    wanted = {
        truth.namespace
        for name, truth in special.sandbox.truth.to_credit.items()
        if since <= _day(special, name) <= (until or days[-1])
    }

    said = special.reconcile("--from", since, *(["--to", until] if until else []))

    document = said.document
    assert (said.code, document["from"], document["to"]) == (0, since, until)
    assert set(special.sent()) == wanted
    assert document["corrections"]["confirmed"] == len(wanted) < len(special.owed())
    assert document["verdicts"]["lacking"] == len(special.owed()) - len(wanted)


def _day(world: Rehearsal, payment_intent: str) -> str:
    created = world.sandbox.world.purchases[payment_intent].created
    return f"{created.astimezone(UTC):%Y-%m-%d}"


def test_the_version_and_the_help(plain: Rehearsal) -> None:
    """`--version` and `--help` end with 0; the help names every command and the exit codes."""
    said = plain.ucred("--help")

    commands = "approve breaks credit demo doctor explain hold reconcile release resolve sandbox status"
    assert said.code == plain.ucred("--version").code == 0
    assert [name for name in commands.split() if name not in said.out] == []
    assert "4 a hold" in " ".join(said.out.split())


def test_one_json_document_without_anything_found(rehearse: Rehearse) -> None:
    """A world without a single purchase has a document like any other."""
    world = rehearse(purchases=0, special_cases=False)

    said = world.reconcile()

    assert said.code == 0
    assert said.out.count("\n") == 1
    assert json.loads(said.out)["purchases"] == 0
    assert said.document["mint_success_rate"] is None
