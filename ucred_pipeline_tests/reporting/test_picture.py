"""The picture after one run."""

from pathlib import Path

import pytest
from rich.console import RenderableType

from ucred_pipeline.domain.clock import SystemClock
from ucred_pipeline.reporting.picture import explained, picture
from ucred_pipeline.sandbox import SandboxSpec
from ucred_pipeline_tests.reporting.worlds import World, reconciled, shown, words

COMMANDS = [("ucred breaks", "what needs a person"), ("ucred explain pi_1", "one purchase")]


def picture_of(world: World) -> RenderableType:
    """Draw the picture of a world's run."""
    with world.pipeline.ledger.read() as connection:
        return picture(connection, world.run, SystemClock().now(), world.pipeline.settings.rules, COMMANDS)


def test_says_what_was_found_and_put_right(world: World) -> None:
    """How many purchases, how many lacked, and how many were credited now."""
    text, told = words(picture_of(world)), world.run.summary
    bought = told["purchases"] - told["verdicts"]["foreign"]

    assert f"{bought} purchases" in text
    assert f"{told['corrections']['planned']} lacked" in text
    assert f"{told['corrections']['confirmed']} credited now, by this run: " in text


def test_says_why_the_rest_was_left(world: World) -> None:
    """Each verdict that is neither credited nor empty has its count and a plain reason."""
    text, told = words(picture_of(world)), world.run.summary["verdicts"]

    for verdict, count in told.items():
        if count and verdict != "credited":
            assert f"{count} {verdict.replace('_', ' ')}" in text
    assert "of them credited before the money went back" in text


def test_says_how_the_mint_works(world: World) -> None:
    """The rate stands with its two numbers, the limit, and a word for the state."""
    text = words(picture_of(world))

    assert "limit 95%" in text
    assert "BELOW THE LIMIT" in text
    assert "were credited by the payments API itself" in text


def test_explains_the_lost_answer(world: World) -> None:
    """The purchase that is explained is the one whose answer was lost and found again."""
    text = words(picture_of(world))

    assert "No answer came back" in text
    assert "Settled by the indexer's log" in text
    with world.pipeline.ledger.read() as connection:
        assert explained(connection, world.run).startswith("pi_")


def test_names_the_commands(world: World) -> None:
    """It ends with where to look further."""
    text = words(picture_of(world))

    assert all(f"{command} {meaning}" in text for command, meaning in COMMANDS)


def test_withheld(withheld: World) -> None:
    """A plan over its limits is said to be held, and how to approve it."""
    text = words(picture_of(withheld))

    assert "held not sent: over corrections per run" in text
    assert "ucred approve" in text


def test_doubts(doubtful: World) -> None:
    """Credits without an answer are named as such."""
    assert "2 in doubt" in words(picture_of(doubtful))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_any_console(world: World, width: int) -> None:
    """It fits, needs no colour, and has no sign that an old Windows console lacks."""
    text = shown(picture_of(world), width)

    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    text.encode("cp1252")


def test_no_addresses(world: World) -> None:
    """What people paste into a chat names no customer."""
    assert "@" not in shown(picture_of(world))


def test_only_planned(tmp_path: Path) -> None:
    """A run that was not allowed to send says so."""
    spec = SandboxSpec(purchases=20, special_cases=False, lacking_share=0.1)
    with reconciled(tmp_path, spec, apply=False) as found:
        assert "this run only planned" in words(picture_of(found))


def test_an_empty_world(tmp_path: Path) -> None:
    """Without a purchase there is still a picture."""
    with reconciled(tmp_path, SandboxSpec(purchases=0, special_cases=False)) as found:
        assert "NOTHING TO MEASURE" in words(picture_of(found))
