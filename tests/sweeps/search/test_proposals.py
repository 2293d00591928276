from functools import cache

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.search.looks import key_of
from sweeps.search.plan import Plan
from sweeps.search.record import Gain
from tests.sweeps.search.played import HARD, PLAN, asked, end, looked, made, play, report
from tests.sweeps.search.spaces import FIRST, SPACE, by_lr

PAIRS = Plan((2, 2, 2, 2), 2, (2, 4))


@cache
def usual():
    """A search with named settings that is not changed by its tests."""
    proposals = made(first=FIRST)
    given = play(proposals)
    return proposals, given, proposals.finish()


def suggested(proposals, count, first=0):
    return {f"tune {i}": proposals.suggest(f"tune {i}") for i in range(first, first + count)}


@pytest.mark.parametrize(("order", "width"), [(1, 1), (2, 3), (3, 20)])
def test_proposals_hang_on_what_trials_gave_and_not_on_when(order, width):
    proposals = made(first=FIRST)
    given = play(proposals, order=order, width=width)
    assert asked(proposals) == asked(usual()[0])
    assert given == usual()[1]
    assert proposals.finish() == usual()[2]
    assert [trial.value for trial in proposals.study.trials] == [trial.value for trial in usual()[0].study.trials]


def test_another_seed_or_other_accuracies_give_others():
    assert [len(settings) for settings in asked(usual()[0])] == [6, 3, 3, 3]
    seeded, changed = made(first=FIRST, seed=2**63 - 2), made(first=FIRST)
    seeded.suggest("tune 0")
    assert asked(seeded)[0][2:] != asked(usual()[0])[0][2:]
    play(changed, accuracy=lambda values: 1.4 - by_lr(values))
    assert asked(changed)[0] == asked(usual()[0])[0]
    assert asked(changed)[1] != asked(usual()[0])[1]


def test_a_search_learns():
    """Under a reward for small rates, those that race have smaller ones than those that fill the space."""
    looks, race = asked(usual()[0])[0][2:], asked(usual()[0])[-1][2:]
    assert max(values["lr"] for values in race) < sum(values["lr"] for values in looks) / len(looks)


def names(given):
    return [one.name for one in looked(given)]


def test_a_generation_waits_for_those_up_to_the_one_before_the_last():
    proposals = made(PAIRS)
    first = suggested(proposals, 1)
    assert names(first) == ["0.0", "0.1"]
    assert proposals.suggest("tune 1") is None
    end(proposals, "tune 0", first["tune 0"])
    second, third = suggested(proposals, 1, 1), suggested(proposals, 1, 2)  # which follow from the first alone
    assert names({**second, **third}) == ["1.0", "1.1", "2.0", "2.1"]
    assert proposals.suggest("tune 3") is None
    end(proposals, "tune 2", third["tune 2"])
    assert proposals.suggest("tune 3") is None
    end(proposals, "tune 1", second["tune 1"])
    assert names(suggested(proposals, 1, 3)) == ["3.0", "3.1"]


def test_the_race_comes_last_and_once_all_looks_have_ended():
    proposals = made(PAIRS)
    looks = {}
    for number in range(4):
        looks |= suggested(proposals, 1, number)
        if number != 2:
            end(proposals, f"tune {number}", looks[f"tune {number}"])
    assert not any(config["race"] for config in looks.values())
    assert (proposals.suggest("tune 4"), proposals.racing) == (None, False)
    end(proposals, "tune 2", looks["tune 2"])
    race = suggested(proposals, 2, 4)
    assert proposals.racing
    assert [(one.race, one.generation, one.name) for one in looked(race)] == [(True, 4, "4.0"), (True, 4, "4.1")]
    assert proposals.suggest("tune 6") == Searcher.FINISHED


def test_looks_that_err_have_ended():
    proposals = made(PAIRS)
    suggested(proposals, 1)
    proposals.on_trial_complete("tune 0", error=True)
    proposals.on_trial_complete("tune that never was", error=True)
    assert names(suggested(proposals, 1, 1)) == ["1.0", "1.1"]
    assert [trial.state for trial in proposals.study.trials[:2]] == [TrialState.FAIL, TrialState.FAIL]


def test_what_tune_is_given_says_all_that_a_trial_asks_for():
    proposals, given, _ = usual()
    known = {f"{g}.{i}": one for g, settings in enumerate(asked(proposals)) for i, one in enumerate(settings)}
    assert [config["generation"] for config in given.values()] == [0, 1, 2, 3, 3, 3]
    assert [one.name for one in looked(given)] == list(known)
    for config in given.values():
        generation = config["generation"]
        assert config["settings"] == {name: one for name, one in known.items() if name.startswith(f"{generation}.")}
        assert config["rungs"] == ([[0, 1], [2, 3]] if generation == 3 else [[4 + generation]])
    for one in looked(given):
        assert one.values == known[one.name]
        assert one.trial == next(name for name, values in known.items() if key_of(values) == key_of(one.values))


def test_a_generation_is_announced_once_and_before_tune_has_it():
    heard = []
    proposals = made(PAIRS, announce=lambda *said: heard.append(said))
    first = suggested(proposals, 1)["tune 0"]
    assert heard == [(0, first["settings"], [[4]])]
    end(proposals, "tune 0", first)
    assert [said[0] for said in heard] == [0, 1, 2]  # as soon as what they follow from is known
    third = suggested(proposals, 2, 1)["tune 2"]
    assert (heard[2][1], heard[2][2]) == (third["settings"], [[6]])


def test_what_is_believed_to_be_the_best_is_told_whenever_more_is_known():
    """That is before the second, the fourth and the last generation, of which the last is the race."""
    heard = []
    proposals = made(PAIRS, hear=lambda *said: heard.append(said))
    play(proposals)
    assert [looks for _, _, _, looks in heard] == [2, 4, 8]
    assert heard[-1][:3] == proposals.sampler.best()
    assert all(key_of(values) in proposals.first_looks for values, _, _, _ in heard)


def test_named_settings_come_first_and_race():
    settings, rest = asked(usual()[0]), list(FIRST.values())
    assert settings[0][:2] == settings[-1][:2] == rest
    assert not any(values in rest for values in settings[0][2:])


def test_samples_lie_in_their_ranges_and_without_prompts_nothing_of_them_is_sampled():
    found = [values for settings in asked(usual()[0]) for values in settings if values not in FIRST.values()]
    assert found
    for values in found:
        assert values.keys() == (SPACE.keys() if values["alpha"] else {"alpha", "lr"})
        for name, value in values.items():
            assert (name, value) == ("alpha", 0.0) or SPACE[name].low <= value <= SPACE[name].high
            assert isinstance(value, int) == (name == "patches")


def test_optuna_is_told_what_settings_are_believed_to_have_and_what_the_race_gave():
    """In the race 3.1 is stopped after one rung, and its two episodes were easy ones: by its difference to the winner
    on them it would have less on all four.
    """
    proposals = made(first=FIRST)
    given = play(proposals, rungs_of=lambda look: 1 if look == "3.1" else 2)
    found = proposals.finish()
    trials = proposals.study.trials
    assert len(trials) == 15
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.user_attrs["trial"] for trial in trials] == names(given)
    for trial, one in zip(trials[:12], looked(given), strict=False):
        seen = by_lr(one.values) + HARD[one.generation]
        assert trial.user_attrs["accuracy"] == pytest.approx(seen)
        assert trial.intermediate_values == {1: pytest.approx(seen)}
        assert trial.value != seen
    expected = [by_lr(one.values) for one in looked(given)[12:]]
    easier = sum((0.02, 0.04, -0.03, -0.05)) / 4
    assert [trial.value for trial in trials[12:]] == pytest.approx([own + easier for own in expected])
    assert trials[12].intermediate_values == pytest.approx({2: expected[0] + 0.03, 4: expected[0] + easier})
    assert trials[13].intermediate_values == pytest.approx({2: expected[1] + 0.03})
    stopped = next(trial for trial in found.trials if trial.stopped_by)
    assert (stopped.stopped_by, stopped.values, stopped.raced) == ("racing", FIRST["paper defaults"], 2)
    assert stopped.score == trials[13].value


def test_a_failed_look_is_told_as_one():
    proposals = made()
    given = play(proposals, accuracy=lambda values: None if values["lr"] > 0.02 else by_lr(values))
    found = proposals.finish()
    failed = [one.name for one in looked(given) if one.values["lr"] > 0.02]
    assert failed
    assert [one.user_attrs["trial"] for one in proposals.study.trials if one.state == TrialState.FAIL] == failed
    assert {trial.score is None for trial in found.trials if trial.values["lr"] > 0.02} == {True}
    assert {trial.score is None for trial in found.trials if trial.values["lr"] <= 0.02} == {False}


def test_a_trial_that_is_run_again_reports_the_same_once():
    proposals = made(PAIRS)
    first = suggested(proposals, 1)["tune 0"]
    end(proposals, "tune 0", first)
    end(proposals, "tune 0", first)
    assert [len(trial.looks) for trial in proposals.trials()] == [1, 1, *[0] * (len(proposals.trials()) - 2)]


@pytest.mark.parametrize(("ended", "said"), [(0, 0), (1, 6), (3, 12), (5, 14)])
def test_a_search_that_tune_ends_early_finds_nothing(ended, said):
    """As it does where it is interrupted: a trial was under way, or a generation never began."""
    proposals = made()
    for number in range(ended):
        end(proposals, f"tune {number}", proposals.suggest(f"tune {number}"))
    proposals.suggest(f"tune {ended}")
    message = f"the search has ended early, with {said} of 15 trials done; the same command goes on with it"
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        proposals.finish()


@pytest.mark.parametrize("rungs", [0, 1])
def test_a_trial_that_tune_cuts_off_has_not_ended(rungs):
    """Tune tells its end like any other, though it has reported fewer rungs than there are and nothing stopped it."""
    proposals = made()
    given = play(proposals)
    (cut,) = proposals.names[list(given)[-1]].values()
    cut.reports, cut.stopped_by = cut.reports[:rungs], None
    with pytest.raises(RuntimeError, match=r"^the search has ended early, with 14 of 15 trials done"):
        proposals.finish()


def test_looks_of_which_one_was_not_told_have_not_all_ended():
    proposals = made(PAIRS)
    given = suggested(proposals, 1)["tune 0"]
    proposals.on_trial_result("tune 0", {"reports": [report("0.0", 0.5)]})
    proposals.on_trial_complete("tune 0", {})
    assert list(given["asked"]) == ["0.0", "0.1"]
    with pytest.raises(RuntimeError, match=r"^the search has ended early, with 1 of 10 trials done"):
        proposals.finish()


def test_a_record_has_each_setting_once_with_all_that_it_had():
    proposals, given, found = usual()
    assert [trial.name for trial in found.trials] == list(dict.fromkeys(one.trial for one in looked(given)))
    assert found.rungs == (2, 4)
    for trial in found.trials:
        looks = [one for one in looked(given) if one.trial == trial.name and not one.race]
        assert trial.generation == looks[0].generation
        assert [look.accuracy for look in trial.looks] == pytest.approx(
            [by_lr(trial.values) + HARD[one.generation] for one in looks]
        )
    assert [len(trial.reports) for trial in found.racers] == [2, 2, 2]
    assert found.problems == 12 + 3 * 4
    assert found.gain == proposals.sampler.gain()
    assert found.winner.values == min((values for values in asked(proposals)[-1]), key=lambda values: values["lr"])
    assert found.importances is None  # of so few trials


def ending_after(generations, plan):
    """Proposals whose looks are enough once so many generations are known."""
    proposals = made(plan, enough=1.0)
    proposals.sampler.gain = lambda: Gain(64, 0.0 if proposals.sampler.heard >= generations else 0.5, 0.01)
    return proposals


def test_looking_ends_once_it_is_enough():
    proposals = ending_after(1, PLAN)
    given = play(proposals)
    assert names(given) == [*(f"0.{i}" for i in range(6)), "1.0", "1.1", "1.2"]
    assert [one.race for one in looked(given)] == [False] * 6 + [True] * 3
    assert len(proposals.finish().racers) == 3


def test_the_race_follows_from_all_looks_where_they_were_enough():
    proposals = ending_after(2, Plan((6, 3, 3, 3, 3), 3, (2, 4)))
    given = play(proposals)
    assert [one.generation for one in looked(given)] == [0] * 6 + [1] * 3 + [2] * 3 + [3] * 3
    assert proposals.sampler.looks.blocks == [0] * 6 + [1] * 3 + [2] * 3


def test_trials_are_kept_in_the_order_of_the_study_once_they_have_ended():
    kept = []
    proposals = made(first=FIRST, keep=lambda trials: kept.append([trial.number for trial in trials]))
    play(proposals)
    assert kept == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    proposals.finish()
    assert kept[2:] == [[12, 13, 14]]
