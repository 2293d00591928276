import random

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.schema.space import Range
from sweeps.schema.sweep import Search
from sweeps.search.proposals import Proposals, open_study
from sweeps.statistics.rows import METRICS

SPACE = {
    "lambda": Range(low=0.03, high=30, log=True),
    "alpha": Range(low=0.03, high=10, log=True, zero=True),
    "tau": Range(low=0.3, high=3),
    "patches": Range(low=2, high=16, log=True, integer=True),
    "lr": Range(low=0.002, high=0.05, log=True),
}
FIRST = {
    "no prompts": {"alpha": 0, "lr": 0.01},
    "paper defaults": {"lambda": 1, "alpha": 7, "tau": 1, "patches": 4, "lr": 0.005},
}


@pytest.fixture(autouse=True)
def quiet():
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


def searching(**fields):
    return Search(**{"space": SPACE, "trials": 12, "generation": 4, "rungs": [2, 4], **fields})


DIFFICULTY = [0.02, 0.04, -0.03, -0.05]  # of the episodes, which rise by rungs of two


def made(search, announce=None, accuracy=None):
    def accuracies(trials):
        score = accuracy or by_lr
        return {
            name: [score(values) + easier for easier in DIFFICULTY[:count]] for name, (values, count) in trials.items()
        }

    return Proposals(search, "lora", optuna.create_study(direction="maximize"), accuracies, announce)


def by_lr(values):
    """Stands in for accuracy."""
    return 1 - values["lr"]


def report(values, rung, accuracy=by_lr):
    return {**dict.fromkeys(METRICS), "rung": rung, "episodes": 2 * rung, "accuracy": accuracy(values)}


def play(search, accuracy=by_lr, order=None, rungs_of=lambda name: 2):
    """Runs all generations; trials end in a random `order` of their own, after as many rungs as they are given."""
    proposals = made(search, accuracy=accuracy)
    for first in range(0, search.trials, search.generation):
        suggested = {f"tune {i}": proposals.suggest(f"tune {i}") for i in range(first, first + search.generation)}
        ends = list(suggested)
        random.Random(order).shuffle(ends)
        for trial in ends:
            config = suggested[trial]
            for rung in range(1, 1 + rungs_of(config["trial"])):
                proposals.on_trial_result(trial, report(config["values"], rung, accuracy))
            if rung < len(search.rungs):
                proposals.on_trial_result(trial, {**report(config["values"], rung), "stopped_by": "racing"})
            proposals.on_trial_complete(trial, {})
    proposals.finish()
    return proposals


def generation(proposals, number):
    return {name: values for name, values in proposals.values.items() if name.startswith(f"{number}.")}


def test_the_same_seed_gives_the_same_proposals():
    assert play(searching()).values == play(searching()).values
    assert len(play(searching()).values) == 12


def test_the_largest_seed_is_one_too():
    assert generation(play(searching(seed=2**63 - 2)), 0) != generation(play(searching(seed=2**62)), 0)


def test_another_seed_gives_others():
    assert generation(play(searching()), 0) != generation(play(searching(seed=1)), 0)


def test_proposals_hang_on_what_trials_gave_and_not_on_when():
    one, other = play(searching(), order=1), play(searching(), order=2)
    assert one.values == other.values
    changed = play(searching(), accuracy=lambda values: values["lr"])
    assert generation(changed, 0) == generation(one, 0)
    assert generation(changed, 1) != generation(one, 1)


def test_a_search_learns():
    """Under a reward for small rates, later generations propose smaller ones than the first, which is drawn blindly."""
    proposals = play(searching(trials=60, generation=20))
    means = [sum(v["lr"] for v in generation(proposals, g).values()) / 20 for g in range(3)]
    assert means[2] < means[0]


def test_a_generation_waits_for_the_one_before():
    proposals = made(searching(trials=3, generation=2))
    first, second = proposals.suggest("a"), proposals.suggest("b")
    assert (first["trial"], second["trial"]) == ("0.0", "0.1")
    assert proposals.suggest("c") is None
    proposals.on_trial_result("b", report(second["values"], 1))
    proposals.on_trial_complete("b", {})
    assert proposals.suggest("c") is None
    proposals.on_trial_complete("a", error=True)
    third = proposals.suggest("c")
    assert (third["trial"], third["generation"]) == ("1.0", 1)
    assert proposals.suggest("d") == Searcher.FINISHED


def test_a_generation_is_announced_before_its_first_trial_and_has_the_same_proposals():
    heard = []
    search = searching(trials=5, generation=4)
    proposals = made(search, lambda *said: heard.append(said))
    first = proposals.suggest("a")
    names = [f"0.{place}" for place in range(4)]
    assert heard == [(0, {name: proposals.values[name] for name in names}, None)]
    rest = [proposals.suggest(trial) for trial in "bcd"]
    assert [trial["values"] for trial in (first, *rest)] == [heard[0][1][name] for name in names]
    for trial in "abcd":
        proposals.on_trial_complete(trial, {})
    proposals.suggest("e")
    assert heard[1:] == [(1, {"1.0": proposals.values["1.0"]}, None)]


def test_the_best_whole_trial_of_the_generations_before_is_the_incumbent():
    stopped = "0.1"  # whatever it had, it was not judged on all episodes
    proposals = play(searching(), rungs_of=lambda name: 1 if name == stopped else 2)
    whole = [name for name in proposals.values if name != stopped]
    by_generation = [[name for name in whole if int(name[0]) < generation] for generation in range(3)]
    best = [max(names, key=lambda name: by_lr(proposals.values[name]), default=None) for names in by_generation]
    assert proposals.incumbents == [None if name is None else proposals.values[name] for name in best]


def test_without_prompts_nothing_about_them_is_sampled():
    zero = steered = 0
    for values in play(searching(trials=40, generation=10)).values.values():
        if values["alpha"] == 0:
            zero += 1
            assert set(values) == {"alpha", "lr"}
        else:
            steered += 1
            assert set(values) == set(SPACE)
    assert zero > 0
    assert steered > 0


def test_samples_lie_in_their_ranges():
    for values in play(searching(trials=40, generation=10)).values.values():
        for name, value in values.items():
            assert (name, value) == ("alpha", 0.0) or SPACE[name].low <= value <= SPACE[name].high
            assert isinstance(value, int) == (name == "patches")


def test_named_settings_come_first():
    proposals = play(searching(first=FIRST))
    assert proposals.values["0.0"] == FIRST["no prompts"]
    assert proposals.values["0.1"] == FIRST["paper defaults"]
    assert proposals.values["0.2"] not in FIRST.values()


def test_what_a_named_setting_leaves_open_is_sampled():
    proposals = play(searching(first={"steered": {"alpha": 7}}))
    assert set(proposals.values["0.0"]) == set(SPACE)
    assert proposals.values["0.0"]["alpha"] == 7


def test_trials_are_told_with_what_they_would_have_on_all_episodes():
    """0.0 does all rungs, 0.1 is stopped after one, 0.2 fails in its second, 0.3 errs before its first."""

    def failing(values):
        return None if values is bad else by_lr(values)

    proposals = made(searching(trials=4))
    configs = [proposals.suggest(f"tune {i}") for i in range(4)]
    bad = configs[2]["values"]
    for i, rungs in enumerate((2, 1, 1, 0)):
        for rung in range(1, rungs + 1):
            proposals.on_trial_result(f"tune {i}", report(configs[i]["values"], rung))
    proposals.on_trial_result("tune 1", {**report(configs[1]["values"], 1), "stopped_by": "halving"})
    proposals.on_trial_result("tune 2", report(bad, 2, failing))
    for i in range(4):
        proposals.on_trial_complete(f"tune {i}", error=i == 3)
    found = proposals.finish()

    trials = proposals.study.trials
    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert [trial.state for trial in trials] == states
    accuracies = [by_lr(config["values"]) for config in configs]
    assert trials[0].value == accuracies[0]
    assert trials[0].intermediate_values == {2: accuracies[0], 4: accuracies[0]}
    assert trials[1].intermediate_values == {2: accuracies[1]}
    # Its two episodes were easy ones: by its difference to 0.0 on them it would have less on all four.
    assert trials[1].value == pytest.approx(accuracies[1] + sum(DIFFICULTY) / 4)
    assert [trial.user_attrs["stopped"] for trial in trials] == [False, True, False, False]
    assert [trial.user_attrs["trial"] for trial in trials] == ["0.0", "0.1", "0.2", "0.3"]
    assert [len(trial.reports) for trial in found.trials] == [2, 1, 2, 0]
    assert [trial.score for trial in found.trials] == [trials[0].value, trials[1].value, None, None]
    assert [trial.stopped_by for trial in found.trials] == [None, "halving", None, "error"]
    assert [trial.name for trial in found.whole] == ["0.0"] == [found.winner.name]


def test_a_trial_that_is_run_again_reports_the_same_once():
    proposals = made(searching(trials=1))
    values = proposals.suggest("tune 0")["values"]
    for rung in (1, 1, 2, 1, 2):
        proposals.on_trial_result("tune 0", report(values, rung))
    assert [own.episodes for own in proposals.finish().winner.reports] == [2, 4]


@pytest.mark.parametrize(("rungs", "ended"), [((2, 2, 1), 2), ((2, 1, 0), 1), ((2, 2), 2)])
def test_a_search_that_tune_ends_early_finds_nothing(rungs, ended):
    """As it does where it is interrupted: a trial was under way, or a generation never began."""
    proposals = made(searching(trials=3, generation=3))
    for i, count in enumerate(rungs):
        values = proposals.suggest(f"tune {i}")["values"]
        for rung in range(1, count + 1):
            proposals.on_trial_result(f"tune {i}", report(values, rung))
    said = f"the search has ended early, with {ended} of 3 trials done; the same command goes on with it"
    with pytest.raises(RuntimeError, match=f"^{said}$"):
        proposals.finish()


def test_a_record_has_trials_in_order_and_importances_of_those_that_have_a_score():
    found = play(searching(), order=3).finish()
    assert [trial.name for trial in found.trials] == [f"{i // 4}.{i % 4}" for i in range(12)]
    assert [trial.generation for trial in found.trials] == [i // 4 for i in range(12)]
    assert found.rungs == (2, 4)
    assert max(found.importances, key=found.importances.get) == "lr"
    assert play(searching(trials=4)).finish().importances is None


def test_a_study_is_begun_anew_under_its_name(tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    with open_study(storage, "mine") as study, open_study(storage, "other") as other:
        study.add_trial(optuna.create_trial(value=0.5))
        other.add_trial(optuna.create_trial(value=0.5))
    with open_study(storage, "mine") as study:
        assert study.trials == []
    database = optuna.storages.RDBStorage(storage)
    assert len(optuna.load_study(study_name="other", storage=database).trials) == 1
    assert sorted(optuna.get_all_study_names(database)) == ["mine", "other"]
    database.remove_session()
    database.engine.dispose()
