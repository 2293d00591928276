from dataclasses import replace
from functools import cache

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.schema.space import Choices, Range, sample
from sweeps.search.encoding import Encoding
from sweeps.search.looks import Looks, finalists, key_of, next_settings
from sweeps.search.plan import Plan
from sweeps.search.sampler import ACCURACY, BLOCK, LookSampler
from tests.sweeps.search.spaces import FIRST, LR, SPACE, by_lr

PLAN = Plan((8, 4, 4, 3), 3, (2, 4))
HARD = [0.0, 0.05, -0.05, 0.02]  # the episodes of the generations
NAMED = list(FIRST.values())


def sampler_of(plan=PLAN, seed=0, space=SPACE, **more):
    return LookSampler(space, "lora", plan, seed, **more)


def driven(sampler, accuracy=by_lr, generations=None):
    """A study that asks for all looks, and then for those that race; the settings of each generation."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    found = []
    for generation in range(len(sampler.plan.generations) + 1 if generations is None else generations):
        size = len(sampler.propose(study, generation))
        trials = [study.ask() for _ in range(size)]
        found.append([sample(trial, sampler.encoding.space, "lora") for trial in trials])
        for place, (trial, values) in enumerate(zip(trials, found[-1], strict=True)):
            if generation == sampler.race:
                continue
            seen = accuracy(values, generation, place) if accuracy is not by_lr else by_lr(values) + HARD[generation]
            trial.set_user_attr(BLOCK, generation)
            if seen is not None:
                trial.set_user_attr(ACCURACY, seen)
            study.tell(trial, seen, state=TrialState.FAIL if seen is None else TrialState.COMPLETE)
        if generation == sampler.race:
            break
    return study, found


@cache
def usual():
    """What is proposed where nothing is said."""
    return driven(sampler_of())[1]


def test_generations_that_fill_the_space_are_one_that_was_cut():
    several = replace(PLAN, generations=(4, 4, *PLAN.generations[1:]), filling=2)
    _, whole = driven(sampler_of(first=NAMED))
    _, cut = driven(sampler_of(several, first=NAMED), generations=2)
    assert PLAN.generations[0] == 8
    assert cut[0] + cut[1] == whole[0]


def test_a_study_asks_for_exactly_what_is_proposed():
    sampler = sampler_of(first=NAMED)
    study, found = driven(sampler)
    assert [len(settings) for settings in found] == [8, 4, 4, 3, 3]
    assert found == [sampler.propose(study, generation) for generation in range(5)]
    assert found[0][:2] == NAMED
    assert study.trials[0].params == {"alpha is zero": True, "lr": 0.01}
    assert study.trials[1].params == {"alpha is zero": False, **FIRST["paper defaults"]}
    assert driven(sampler_of(first=NAMED))[1] == found
    assert driven(sampler_of(first=NAMED, seed=1))[1][0] != found[0]


def test_a_trial_has_its_place_in_a_generation():
    sampler = sampler_of()
    assert sampler.race == 4
    assert [sampler.place_of(number) for number in (0, 7, 8, 11, 12, 18, 19, 21)] == [
        (0, 0),
        (0, 7),
        (1, 0),
        (1, 3),
        (2, 0),
        (3, 2),
        (4, 0),
        (4, 2),
    ]


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_a_generation_hangs_on_those_up_to_the_one_before_the_last(last):
    def changed(values, generation, place):
        own = by_lr(values) + HARD[generation]
        return 1.4 - own if generation == last else own

    plain, other = usual(), driven(sampler_of(), changed)[1]
    same = [one == two for one, two in zip(plain, other, strict=True)]
    until = min(last + 2, 4) if last else 1  # the second generation follows from the first, the race from all
    assert same[:until] == [True] * until
    assert not same[until]


def told(*blocks):
    """Looks of (settings, accuracies), a block each."""
    looks = Looks()
    for block, (settings, accuracies) in enumerate(blocks):
        looks.add(settings, block, accuracies, 1)
    return looks


def test_proposals_are_those_of_the_looks_before_and_the_race_is_of_the_best():
    """By looks that are put together here, of each generation in its turn."""
    found = usual()
    seen = [(settings, [by_lr(values) + HARD[i] for values in settings]) for i, settings in enumerate(found[:4])]
    encoding, looks = Encoding(SPACE, "lora"), told(seen[0])
    assert found[1] == next_settings(encoding, looks, 4, (0, 1))
    assert found[2] == next_settings(encoding, looks, 4, (0, 2))
    looks.add(*seen[1][:1], 1, seen[1][1], 1)
    assert found[3] == next_settings(encoding, looks, 3, (0, 3))
    for block in (2, 3):
        looks.add(seen[block][0], block, seen[block][1], 1)
    assert found[4] == finalists(encoding, looks, 3, 0)


def test_failed_looks_count_as_the_worst_of_their_generation():
    def failing(values, generation, place):
        return None if generation == 0 and place in (2, 5) else by_lr(values) + HARD[generation]

    def worst(values, generation, place):
        return lowest if generation == 0 and place in (2, 5) else by_lr(values) + HARD[generation]

    sampler = sampler_of()
    study, found = driven(sampler, failing)
    lowest = min(by_lr(values) for place, values in enumerate(found[0]) if place not in (2, 5))
    assert driven(sampler_of(), worst)[1] == found
    assert [sampler.looks.accuracies[place] for place in (2, 5)] == [lowest, lowest]
    assert [study.trials[place].state for place in (1, 2, 5)] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]


def test_an_episode_that_nobody_could_do_tells_nothing():
    sampler = sampler_of()
    driven(sampler, lambda values, generation, place: None if generation == 1 else by_lr(values))
    assert sorted(set(sampler.looks.blocks)) == [0, 2, 3]
    assert len(sampler.looks.settings) == len(sampler.looks.accuracies) == 8 + 4 + 3


def test_a_search_of_which_every_look_fails_comes_to_its_race():
    found = driven(sampler_of(first=NAMED), lambda values, generation, place: None)[1]
    assert [len(settings) for settings in found] == [8, 4, 4, 3, 3]
    assert found[4][:2] == NAMED


def test_named_settings_may_lie_outside_the_space():
    outside = {"lambda": 100, "alpha": 0.01, "tau": 5.0, "patches": 32, "lr": 0.2}
    study, found = driven(sampler_of(first=[outside]))
    assert found[0][0] == found[-1][0] == outside
    assert study.trials[0].params == {"alpha is zero": False, **outside}


def test_settings_of_earlier_sweeps_come_after_the_named():
    warm = [{"alpha": 0.0, "lr": 0.03}, {"alpha": 0.0, "lr": 0.04}]
    found = driven(sampler_of(first=NAMED, warm=warm))[1]
    assert found[0][:4] == NAMED + warm
    assert found[0][4:] == driven(sampler_of(first=NAMED))[1][0][2:6]  # which fill the space as they would
    assert found[-1][:2] == NAMED


def test_more_named_than_looks_are_cut_off():
    _, found = driven(sampler_of(Plan((1,), 2, (2,)), first=NAMED))
    assert found == [NAMED[:1], NAMED]


def test_those_that_race_differ_and_the_named_are_among_them():
    _, found = driven(sampler_of(Plan((8, 4), 5, (2,)), first=[*NAMED, NAMED[0]]))
    assert found[-1][:2] == NAMED
    assert len(found[-1]) == len(set(map(key_of, found[-1]))) == 5
    looked = {key_of(values) for settings in found[:-1] for values in settings}
    assert {key_of(values) for values in found[-1]} <= looked


def test_looking_ends_once_it_is_enough():
    """The second generation follows from one alone; that no gain is as large as 100 points is known before it."""
    sampler = sampler_of(enough=100.0)
    study, found = driven(sampler)
    assert [len(settings) for settings in found] == [8, 3]
    assert (sampler.race, sampler.sizes) == (1, [8])
    assert sampler.place_of(8) == (1, 0)
    assert len(study.trials) == 11
    assert driven(sampler_of(enough=1e-9))[1] == usual()


def test_the_gain_is_of_so_many_more_looks_and_the_same_every_time():
    sampler = sampler_of()
    driven(sampler)
    assert sampler.gain().looks == 64
    assert sampler.gain() == sampler.gain()


def test_the_best_is_what_is_believed_of_all_that_were_looked_at():
    sampler = sampler_of()
    assert sampler.best() is None
    assert sampler.believed([{"alpha": 0.0, "lr": 0.01}]) is None
    _, found = driven(sampler)
    values, mean, spread = sampler.best()
    different = list({key_of(one): one for settings in found[:4] for one in settings}.values())
    belief = sampler.believed(different)
    place = different.index(values)
    assert (mean, spread) == pytest.approx((max(belief.mean), belief.spread[place]))
    assert belief.mean[place] == max(belief.mean)
    assert by_lr(values) > sorted(map(by_lr, different))[len(different) // 2]


def test_solvers_and_choices_are_proposed_too():
    space = {
        "name": Choices(choices=("ridge", "lora")),
        "alpha": Range(low=0.03, high=10, log=True, zero=True),
        "rows": Choices(choices=("class", "all")),
        "lr": {"lora": LR},
    }
    sampler = sampler_of(space=space)
    study, found = driven(
        sampler, lambda values, generation, place: 0.2 if values["name"] == "ridge" else by_lr(values)
    )
    assert found == [sampler.propose(study, generation) for generation in range(5)]
    assert [values["name"] for values in found[0]].count("ridge") == 4
    assert {"lora"} == {values["name"] for values in found[-1][:1]}
    assert all(trial.params["name"] in ("ridge", "lora") for trial in study.trials)
