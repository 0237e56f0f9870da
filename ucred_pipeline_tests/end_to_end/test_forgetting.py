"""An indexer that forgot, and a ledger that did: nothing is sent until a person decides."""

from datetime import timedelta
from itertools import count

import pytest

from ucred_pipeline.domain.evidence import BalanceReading
from ucred_pipeline.ledger.mirror import store_balances
from ucred_pipeline.sources.indexer import Audit, IndexerSource
from ucred_pipeline_tests.end_to_end.conftest import Rehearse
from ucred_pipeline_tests.end_to_end.rehearsal import Rehearsal

HOUR = timedelta(hours=1)
#: Which read of the root, from 0, comes after the balances: they are read between the second and this one.
_AFTER_THE_BALANCES = 2


@pytest.fixture(params=[True, False], ids=["with logs", "without logs"])
def forgetful(rehearse: Rehearse, request: pytest.FixtureRequest) -> Rehearsal:
    """A world that was reconciled, and whose indexer was restarted after that."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=request.param)
    assert world.reconcile().code == 0
    world.later()
    world.sandbox.restart_indexer()
    world.later()
    return world


def sent_before(world: Rehearsal) -> int:
    """How many credits were sent so far."""
    return len(world.sandbox.http_credits)


def test_a_restart_is_a_hold(forgetful: Rehearsal) -> None:
    """After a restart every purchase looks unpaid; nothing is sent, and the hold says why."""
    before = sent_before(forgetful)

    for _ in range(2):
        said = forgetful.reconcile()
        assert (said.code, said.document["hold"]) == (4, "indexer_forgot")
        forgetful.later()

    assert sent_before(forgetful) == before
    assert "restarted" in said.err


def test_a_restart_where_nothing_was_ever_sent(rehearse: Rehearse) -> None:
    """The balances that were seen are memory enough, where no credit of our own is."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0, logs=False)
    assert world.reconcile().code == 0
    world.later()
    world.sandbox.restart_indexer()

    said = world.reconcile()

    assert (said.code, said.document["hold"], sent_before(world)) == (4, "indexer_forgot", 0)


@pytest.mark.parametrize(
    "logs, credited_since",
    [(True, True), (True, False), (False, False)],
    ids=["with logs", "with logs, back to genesis", "without logs, back to genesis"],
)
def test_a_restart_while_balances_are_read(
    rehearse: Rehearse, monkeypatch: pytest.MonkeyPatch, *, logs: bool, credited_since: bool
) -> None:
    """What was read of a state that was lost meanwhile is no evidence, in the first run of all neither.

    The log shows that nothing was credited since, and an account that somebody credits by hand before we
    look again would hold what was read of it.
    """
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=logs)
    honest, audits = IndexerSource.audit, count()

    async def audit(source: IndexerSource) -> Audit:
        if next(audits) == _AFTER_THE_BALANCES:
            world.sandbox.restart_indexer()
            if credited_since:
                world.sandbox.top_up("acct:user:somebody@example.com", 1)
        return await honest(source)

    monkeypatch.setattr(IndexerSource, "audit", audit)

    said = world.reconcile()

    assert next(audits) > _AFTER_THE_BALANCES
    assert (said.code, said.document["hold"], sent_before(world)) == (4, "indexer_forgot", 0)


@pytest.mark.parametrize("began_s", [-1, 1], ids=["by a slow read", "by a later read"])
def test_a_root_that_another_run_has_overtaken_shows_no_restart(
    rehearse: Rehearse, monkeypatch: pytest.MonkeyPatch, began_s: int
) -> None:
    """An indexer that held nothing when we asked has not forgotten what was credited and read after that."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=1, logs=False)
    account = min(found.account for found in world.sandbox.truth.accounts.values())
    honest, audits = IndexerSource.audit, count()

    async def audit(source: IndexerSource) -> Audit:
        found = await honest(source)
        if next(audits) == _AFTER_THE_BALANCES:
            world.sandbox.top_up(account, 10**18)
            began = found.began + timedelta(seconds=began_s)
            with world.ledger() as ledger, ledger.write() as connection:
                store_balances(connection, [BalanceReading(account, 10**18, began, "ab" * 32)])
        return found

    monkeypatch.setattr(IndexerSource, "audit", audit)

    said = world.reconcile()

    assert next(audits) > _AFTER_THE_BALANCES
    assert (said.code, said.document["hold"]) == (4, "over_lacking_share")


def test_a_new_epoch_leads_out(forgetful: Rehearsal) -> None:
    """When the old state is lost, all is owed again: over the limit, so it takes an approval too."""
    assert forgetful.reconcile().code == 4
    before = sent_before(forgetful)
    said = forgetful.ucred("release", "--new-epoch", "--reason", "the state is lost", "--by", "Ida")
    assert (said.code, "epoch" in said.out) == (0, True)
    forgetful.later()

    over = forgetful.reconcile()
    assert (over.code, over.document["hold"]) == (4, "over_lacking_share")
    assert sent_before(forgetful) == before
    assert forgetful.ucred("approve", over.document["plan"], "--by", "Ida").code == 0
    done = forgetful.reconcile()

    assert (done.code, done.document["corrections"]["confirmed"]) == (0, 40)
    assert sent_before(forgetful) == before + 40
    balances = {
        found.account: forgetful.balance(found.account) for found in forgetful.sandbox.truth.accounts.values()
    }
    assert balances == {
        found.account: found.purchases * 10**18 for found in forgetful.sandbox.truth.accounts.values()
    }
    forgetful.later()
    assert forgetful.reconcile().document["corrections"]["planned"] == 0


def test_a_release_into_the_same_forgetful_state_is_a_hold_again(forgetful: Rehearsal) -> None:
    """Releasing without the old state being back sends nothing: the next run finds it forgotten again."""
    forgetful.reconcile()
    before = sent_before(forgetful)
    assert forgetful.ucred("release", "--reason", "it will be back", "--by", "Ida").code == 0

    said = forgetful.reconcile()

    assert (said.code, said.document["hold"], sent_before(forgetful)) == (4, "indexer_forgot", before)


def test_a_state_that_was_restored(rehearse: Rehearse) -> None:
    """When the old state is back, the same epoch goes on, and nothing is sent twice."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1, logs=False)
    assert world.reconcile().code == 0
    sent, forgotten = world.sent(), world.sandbox.credits
    world.sandbox.restart_indexer()
    world.later()
    assert world.reconcile().code == 4

    for credit in forgotten:
        world.sandbox.top_up(credit.account, credit.amount_wei)
    assert world.ucred("release", "--reason", "the checkpoint is back", "--by", "Ida").code == 0
    world.later()
    said = world.reconcile()

    assert (said.code, said.document["corrections"]["planned"], world.sent()) == (0, 0, sent)


def test_a_ledger_that_is_new_while_the_log_knows_corrections(rehearse: Rehearse) -> None:
    """With an empty ledger nothing is sent where a log shows that another ledger sent corrections."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    assert world.reconcile().code == 0
    world.sandbox.purchase("lacking_indexer_down")
    world.later(HOUR)
    sent = world.sent()
    world.variables["UCRED_DATABASE_URL"] = f"sqlite:///{(world.folder / 'another.db').as_posix()}"

    said = world.reconcile()

    assert (said.code, said.document["hold"], world.sent()) == (4, "ledger_lost", sent)
    assert world.ucred("release", "--reason", "the old ledger is gone", "--by", "Ida").code == 0
    world.later()
    said = world.reconcile()
    assert (said.code, said.document["hold"]) == (0, None)
    assert world.sent() == world.owed()


def test_a_ledger_from_a_copy(rehearse: Rehearse) -> None:
    """A ledger put back from an older copy holds until a person has looked, and then sends none again."""
    world = rehearse(purchases=40, special_cases=False, lacking_share=0.1)
    world.reconcile(apply=False)
    path = world.folder / "ledger.db"
    copy = path.read_bytes()
    assert world.reconcile().code == 0
    sent = world.sent()
    for left in world.folder.glob("ledger.db*"):
        left.unlink()
    path.write_bytes(copy)
    world.later()

    said = world.reconcile()

    assert (said.code, said.document["hold"], world.sent()) == (4, "ledger_lost", sent)
    world.later()
    assert world.reconcile().code == 4
    assert world.ucred("release", "--reason", "looked at what is lost", "--by", "Ida").code == 0
    world.later()
    assert world.reconcile().code == 0
    assert world.sent() == sent


@pytest.mark.parametrize("logs", [True, False], ids=["with logs", "without logs"])
def test_an_anchor_of_our_own(rehearse: Rehearse, *, logs: bool) -> None:
    """With `anchor = "account"` 1 wei goes first, once, disturbs no proof, and its loss is a hold."""
    world = rehearse(
        '[corrections]\nanchor = "account"\n', purchases=40, special_cases=False, lacking_share=0.1, logs=logs
    )
    owed = world.owed()
    assert world.reconcile().code == 0
    world.later()
    again = world.reconcile()

    assert (again.code, again.document["corrections"]["planned"]) == (0, 0)
    anchors = [credit for credit in world.sandbox.http_credits if credit.account.startswith("acct:recon:")]
    assert [(credit.amount_wei, credit.memo.partition(":")[0]) for credit in anchors] == [(1, "anchor")]
    assert sent_before(world) == 1 + sum(owed.values())
    world.sandbox.restart_indexer()
    world.later()
    assert world.reconcile().document["hold"] == "indexer_forgot"
