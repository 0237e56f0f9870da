"""The real engine and ledger in a simulated world: no schedule credits twice, none loses a purchase."""

from dataclasses import replace

import pytest

from ucred_pipeline_tests.simulation.campaign import shrink
from ucred_pipeline_tests.simulation.figures import Tally
from ucred_pipeline_tests.simulation.mutants import MUTANTS
from ucred_pipeline_tests.simulation.profiles import PROFILES, Profile, named
from ucred_pipeline_tests.simulation.schedule import Case, case_of, harder_case_of, play

#: Together 2,000 seeds and more, in parts of which each is a test of its own.
_PARTS = 42
_SEEDS = 48


@pytest.mark.parametrize("part", range(_PARTS))
def test_no_schedule_violates_an_oracle(part: int) -> None:
    """Whatever goes wrong, nothing is credited twice, claimed wrongly, sent unwritten, or lost."""
    outcomes = [play(case_of(seed)) for seed in range(part * _SEEDS, (part + 1) * _SEEDS)]

    assert {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations} == {}
    assert sum(outcome.posts for outcome in outcomes) > 0
    assert any(outcome.faults for outcome in outcomes)


@pytest.mark.parametrize("part", range(4))
def test_no_harder_schedule_violates_an_oracle(part: int) -> None:
    """Nor does it where each trouble comes many times as often as its profile says, or never."""
    outcomes = [play(harder_case_of(seed)) for seed in range(part * 24, (part + 1) * 24)]

    assert {outcome.seed: outcome.violations for outcome in outcomes if outcome.violations} == {}
    assert sum(outcome.posts for outcome in outcomes) > 0


def test_a_copy_from_before_a_new_epoch_knows_nothing_of_it() -> None:
    """A ledger restored from before an epoch was opened claims what was true then, until it notices.

    It did so at seed 22,694, and an oracle of that time blamed the engine for it.
    """
    assert play(Case(22_694, named("everything"))).violations == []


def test_two_anchors_for_an_epoch_stop_nobody() -> None:
    """Two runs that lost the sole sender's lock each send an anchor, and both go on: seed 30,888 stopped."""
    assert play(Case(30_888, named("everything"))).violations == []


def test_a_restart_while_balances_are_read_is_noticed() -> None:
    """A balance read just before a restart, and so again by a credit by hand: seed 68,540 credited twice."""
    assert play(Case(68_540, named("anchors"))).violations == []


def test_an_acknowledgement_of_a_state_that_forgot_is_a_doubt() -> None:
    """A restart between look and credit shows in the answer's balance: seed 119,886 lost a purchase."""
    assert play(Case(119_886, named("restarts_on_balances"))).violations == []


@pytest.mark.parametrize("seed", [241_220, 248_060])
def test_a_gift_of_several_ucred_settles_no_doubt(seed: int) -> None:
    """A top-up of three UCRED passed for two earlier corrections and a doubtful one, which was lost."""
    assert play(Case(seed, named("gappy_logs"))).violations == []


def test_what_an_account_was_last_told_to_hold_is_remembered() -> None:
    """A restart that took two credits of an account and kept a third went unnoticed: seed 281,906 sent on."""
    assert play(Case(281_906, named("restarts_on_balances"))).violations == []


def test_a_restored_ledger_may_name_a_purchase_again() -> None:
    """A copy does not know what was credited, and balances alone do not say for which purchase it was.

    It called the same one lacking at this seed; the account had a credit too few, and has none too many.
    """
    assert play(Case(1_127, named("everything"))).violations == []


def test_a_restart_that_left_the_very_same_state() -> None:
    """A doubtful credit that came after a restart made the state what it was: it seemed not to have come.

    Nobody can know at this seed, and the account has no credit too many: the restart took another one.
    """
    assert play(Case(2_426, named("restarts_on_balances"))).violations == []


def test_a_credit_where_a_purchase_stopped_is_its_own() -> None:
    """Support credited a purchase at an address that it had between two runs only, as a log told.

    An oracle of that time took it for the credit of the other purchase of that account, at this seed.
    """
    assert play(Case(700_961, named("movers"))).violations == []


def test_a_seed_is_one_schedule() -> None:
    """Played twice, a seed gives the same trace to the last line: so a failure can be looked at again."""
    for profile in PROFILES:
        case = Case(7, profile, traced=True)

        assert play(case).trace == play(case).trace


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_what_is_cut_short_changes_nothing(profile: Profile) -> None:
    """The plain judge and the quick connection give the very schedule that the real ones give."""
    for seed in (7, 8, 12):
        case = Case(seed, profile, traced=True)
        quick, real = play(case), play(replace(case, really=True))

        assert quick.trace == real.trace
        assert (quick.ended, quick.violations) == (real.ended, real.violations)


@pytest.mark.parametrize("profile, least", [("logs", 0.98), ("balances", 0.90)])
def test_most_corrections_need_no_person(profile: str, least: float) -> None:
    """With each fault at 5%, logs settle at least 98% of the corrections by themselves, balances 90%."""
    tally = Tally()
    for seed in range(10_000, 10_120):
        tally.add(Tally.of(play(Case(seed, replace(named(profile), request=0.05)))))

    assert tally.corrections > 150
    assert tally.unaided >= least


def test_a_failure_becomes_smaller() -> None:
    """A failing schedule loses the purchases and faults that it does not need, and still fails."""
    mutant = next(found for found in MUTANTS if found.name == "retry_in_doubt")
    with mutant.at_work():
        failing = next(case for seed in range(60) if play(case := Case(seed, mutant.profile)).violations)
        smaller = shrink(failing)
        outcome = play(smaller)

    assert outcome.violations
    assert sum(outcome.faults.values()) <= sum(play(failing).faults.values())
    assert smaller.spared or smaller.purchases is not None
