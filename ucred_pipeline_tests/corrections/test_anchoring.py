"""With an account of our own as the anchor of each epoch: it goes first, and alone shows a restart."""

from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from ucred_pipeline.domain.corrections import epoch_anchor
from ucred_pipeline.ledger.anchors import Anchor, anchors, is_anchored, sent_anchors
from ucred_pipeline.ledger.corrections import NotNow
from ucred_pipeline.ledger.safety import HoldKind, open_epoch, raise_hold, release_holds
from ucred_pipeline.ledger.schema import epoch_anchors
from ucred_pipeline.ledger.verification import verify
from ucred_pipeline_tests.conftest import NOON
from ucred_pipeline_tests.corrections.small_indexer import Fault
from ucred_pipeline_tests.corrections.world import GATES, WITNESS, World
from ucred_pipeline_tests.ledger.stories import AMPLE, book_of, item, planned, request_at, signed


@pytest.fixture
def anchored(any_world: World) -> World:
    """A world whose setting asks for an anchor of our own."""
    any_world.anchors = True
    return any_world


def fail_the_anchor(world: World, fault: Fault) -> None:
    """Let the next credit of 1 wei meet a fault, whatever its account."""
    world.indexer.anchor_faults.append(fault)


def test_the_anchor_goes_first_and_once(anchored: World) -> None:
    """Before the first credit of an epoch 1 wei goes to a fresh account; later runs send no other."""
    anchored.lack(1, 2)
    first = anchored.run()
    anchored.lack(3)
    second = anchored.run()

    assert (first.confirmed, second.confirmed) == (2, 1)
    [anchor] = anchored.indexer.anchored
    assert (anchor.amount, anchored.indexer.applied[0]) == (1, anchor.account)
    assert anchor.account.startswith("acct:recon:anchor:1:")
    assert anchor.memo == f"anchor:{anchor.account.removeprefix('acct:recon:anchor:')}"
    with anchored.ledger.read() as connection:
        assert anchors(connection)[0] == Anchor(anchor.account, 1, is_ours=True)
        assert verify(connection).broken is None


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.TRUNCATED, Fault.PROXY_PAGE_AFTER, Fault.OVERFLOW])
def test_nothing_is_sent_before_it_is_acknowledged(anchored: World, fault: Fault) -> None:
    """Whatever became of an anchor that nobody acknowledged, it is never used; the next run sends another."""
    anchored.lack(1)
    fail_the_anchor(anchored, fault)
    held = anchored.run()

    assert (held.stopped, dict(held.not_sent)) == ("anchor_missing", {"anchor_missing": 1})
    assert anchored.posts() == []
    assert anchored.run().confirmed == 1
    one, other = anchored.indexer.anchored
    assert one.account != other.account
    with anchored.ledger.read() as connection:
        known = {sent.account: acknowledged is not None for sent, acknowledged in sent_anchors(connection)}
    assert known == {one.account: False, other.account: True}


def test_the_ledger_lets_nothing_go_without_it(anchored: World) -> None:
    """Whoever asks, the write-ahead of a credit is refused in an epoch that has no anchor."""
    book = book_of(anchored.ledger, anchored.clock, anchors=True)
    claimed = book.claim(planned(anchored.ledger, book, item(1))[0].id)

    with pytest.raises(NotNow, match="anchor_missing"):
        book.begin_sending(claimed, request_at(NOON), AMPLE)


def test_it_alone_shows_a_restart(anchored: World) -> None:
    """Where customers spend, our anchor that reads 0 is enough, though every other account holds its own."""
    spending = replace(GATES, debits_possible=True)
    anchored.lack(1)
    assert anchored.run(gates=spending).confirmed == 1
    anchored.indexer.balances.pop(anchored.indexer.anchored[0].account)
    anchored.lack(2)

    assert anchored.run(gates=spending).stopped == "indexer_forgot"
    assert [hold.kind for hold in anchored.holds()] == [HoldKind.INDEXER_FORGOT]


def test_a_hold_keeps_it_back(anchored: World) -> None:
    """Under a hold not even the anchor is sent."""
    anchored.lack(1)
    with anchored.ledger.write() as connection:
        raise_hold(connection, HoldKind.PERSON, signed(NOON))

    assert anchored.run().stopped == "held"
    assert (anchored.indexer.anchored, anchored.posts()) == ([], [])


def test_each_epoch_has_its_own(anchored: World) -> None:
    """A lost state takes its anchor along: the next epoch begins with another one."""
    anchored.lack(1)
    anchored.run()
    anchored.indexer.forget()
    anchored.indexer.balances[WITNESS] = 1
    with anchored.ledger.write() as connection:
        open_epoch(connection, signed(anchored.clock.now()))
        release_holds(connection, signed(anchored.clock.now()))
        assert not is_anchored(connection)
    anchored.lack(2, epoch=2)

    assert anchored.run().confirmed >= 1
    first, second = anchored.indexer.anchored
    assert [found.account.split(":")[3] for found in (first, second)] == ["1", "2"]


def test_two_runs_that_send_one_each_both_go_on(anchored: World) -> None:
    """Where the sender's lock was lost, an epoch may get two anchors; both must be there from then on."""
    book = book_of(anchored.ledger, anchored.clock, anchors=True)
    sent = [epoch_anchor(1, told) for told in ("one", "other")]
    for anchor in sent:
        book.begin_anchor(anchor)
    for anchor in reversed(sent):
        book.acknowledge_anchor(anchor)

    with anchored.ledger.read() as connection:
        assert {found.account for found in anchors(connection)} == {anchor.account for anchor in sent}
        assert verify(connection).broken is None


def test_what_was_sent_of_it_stays(anchored: World) -> None:
    """A row is acknowledged once, and then nobody changes or deletes it."""
    anchored.lack(1)
    anchored.run()

    for change in (
        update(epoch_anchors).values(acknowledged=NOON),
        update(epoch_anchors).values(memo="another"),
        epoch_anchors.delete(),
    ):
        with pytest.raises(IntegrityError), anchored.ledger.write() as connection:
            connection.execute(change)
