from itertools import pairwise

import numpy as np
import optuna
import pytest
from scipy import stats

from sweeps.statistics.estimates import Estimate
from sweeps.verdict.landscape import Scored, as_markdown, best_of, importances, kinds, slices

BEST = Estimate(0.0, 0.0, 64)
WORSE = Estimate(-0.02, 0.01, 64)


@pytest.fixture(autouse=True)
def quiet():
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


def studied(objective, trials):
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=trials)
    return study


def by_lr(trial):
    """As a sweep samples: prompts have a choice of none, and matter to one of two solvers."""
    solver = trial.suggest_categorical("name", ["lora", "ridge"])
    if solver == "ridge":
        return 0.2
    if not trial.suggest_categorical("alpha is zero", [False, True]):
        trial.suggest_float("alpha", 0.03, 10, log=True)
        trial.suggest_int("patches", 2, 16, log=True)
    return 0.8 - 0.1 * np.log10(trial.suggest_float("lr of lora", 0.002, 0.05, log=True) / 0.01) ** 2


def trials_of(name, values, scores=None):
    scores = np.linspace(0.3, 0.6, len(values)) if scores is None else scores
    return [Scored({name: value}, float(score), WORSE) for value, score in zip(values, scores, strict=True)]


@pytest.mark.parametrize("matters", ["lr", "tau", "lambda"])
def test_only_what_matters_is_important(matters):
    def objective(trial):
        sampled = {name: trial.suggest_float(name, 0.1, 10, log=True) for name in ("lr", "tau", "lambda")}
        return -(np.log10(sampled[matters]) ** 2)

    found = importances(studied(objective, 60))
    assert found[matters] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_share_is_a_variance_of_the_chance_to_be_among_the_best_quarter_by_hand():
    """400 trials, of which the best 100 are (a, a): of 160 with alpha a, and of 200 with tau a."""
    truth, letters = (optuna.distributions.CategoricalDistribution(choices) for choices in ([False, True], ["a", "b"]))
    study = optuna.create_study(direction="maximize")
    counts = {"0a": 60, "0b": 60, "aa": 100, "ab": 60, "ba": 40, "bb": 80}
    for (alpha, tau), count in counts.items():
        params = {"alpha is zero": alpha == "0", "tau": tau} | ({} if alpha == "0" else {"alpha": alpha})
        kinds = {name: truth if name == "alpha is zero" else letters for name in params}
        score = 2.0 * (alpha == "a") + (tau == "a")
        study.add_trials([optuna.create_trial(params=params, distributions=kinds, value=score)] * count)
    of_alpha, of_tau = 160 / 400 * (100 / 160) ** 2 - 0.25**2, 200 / 400 * (100 / 200) ** 2 - 0.25**2
    assert importances(study)["alpha"] == pytest.approx(of_alpha / (of_alpha + of_tau), abs=0.01)


def test_conditional_parameters_are_one_each_and_the_same_every_time():
    study = studied(by_lr, 80)
    found = importances(study)
    assert set(found) == {"name", "alpha", "patches", "lr"}
    assert found["lr"] > found["alpha"] + found["patches"]
    assert list(importances(study).items()) == list(found.items())


def test_a_parameter_of_a_single_trial_is_no_trouble():
    study = studied(lambda trial: trial.suggest_float("tau" if trial.number == 4 else "lr", 0, 1), 12)
    assert importances(study) == {"lr": 1.0, "tau": 0.0}


def test_importance_is_not_told_of_few_or_equal_trials():
    assert importances(studied(lambda trial: 0.5 + 0 * trial.suggest_float("lr", 0, 1), 30)) is None
    assert importances(studied(lambda trial: 0.5, 9)) is None
    study = studied(by_lr, 7)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert importances(study) is None


@pytest.mark.parametrize(("count", "bins"), [(4, 4), (10, 4), (16, 4), (23, 4), (100, 4), (16, 1), (17, 6)])
def test_slices_hold_all_trials_evenly_in_order(count, bins):
    values = np.random.default_rng(count).permutation(np.geomspace(0.001, 1, count)).tolist()
    scores = np.random.default_rng(bins).random(count)
    found = slices(trials_of("lr", values, scores), "lr", bins)
    assert sorted(one.trials for one in found) == sorted(map(len, np.array_split(values, bins)))
    for one in found:
        inside = scores[(np.array(values) >= one.low) & (np.array(values) <= one.high)]
        assert (len(inside), inside.max()) == (one.trials, one.best)
        assert one.mean.mean == pytest.approx(inside.mean())
        half = stats.t.ppf(0.975, len(inside) - 1) * stats.sem(inside) if len(inside) > 1 else np.inf
        assert one.mean.ci95 == pytest.approx(half)
    assert all(one.high < other.low for one, other in pairwise(found))


@pytest.mark.parametrize("seed", range(10))
def test_equal_values_are_never_parted(seed):
    values = np.random.default_rng(seed).integers(1, 9, 30).tolist()
    found = slices(trials_of("patches", values), "patches")
    assert 2 <= len(found) <= 4
    assert [one.trials for one in found] == [sum(one.low <= value <= one.high for value in values) for one in found]
    assert sum(one.trials for one in found) == 30


def counted(values, bins=4):
    return [(one.label, one.trials) for one in slices(trials_of("x", values), "x", bins)]


def test_few_values_have_a_slice_each_and_a_common_one_takes_no_others():
    assert counted([1] * 10 + [2, 3, 3.0, 16]) == [("1", 10), ("2", 1), ("3", 2), ("16", 1)]
    assert counted([1] * 10 + [2, 3, 4, 5, 6]) == [("1", 10), ("2 – 3", 2), ("4", 1), ("5 – 6", 2)]


def test_zero_names_and_truths_are_apart():
    assert counted([0.0, 0.5, 0, 0.25, 0.0, 1.0, 2.0, 4.0], 2) == [("0", 3), ("0.25 – 0.5", 2), ("1 – 4", 3)]
    assert counted(["vpt", "ssf", "vpt", "a", "b", "c"]) == [("vpt", 2), ("ssf", 1), ("a", 1), ("b", 1), ("c", 1)]
    assert counted([False, True, False]) == [("False", 2), ("True", 1)]
    zero, _, name = slices(trials_of("x", [0]), "x") + slices(trials_of("x", ["a", "b"]), "x")
    assert (zero.low, zero.high, name.low, name.high) == (0, 0, None, None)


def test_trials_without_the_parameter_are_left_out():
    assert [one.trials for one in slices(trials_of("alpha", [0.5]) + trials_of("lr", [0.1]), "alpha")] == [1]


def test_the_section_by_hand():
    trials = [Scored({"lr": 0.01, "name": "a|b"}, score, WORSE) for score in (0.5, 0.6)]
    lines = as_markdown([*trials, Scored({"name": "ssf"}, 0.7, BEST)], {"name": 0.75, "lr": 0.25})
    assert lines[2:6] == ["| parameter | importance |", "| --- | ---: |", "| name | 0.75 |", "| lr | 0.25 |"]
    # of 50 and 60: mean 55, standard error 5, t(0.975, 1) = 12.7062
    head = ["trials | mean | best |", "| --- | ---: | ---: | ---: |"]
    named = ["| a\\|b | 2 | 55.0 ± 63.5 | 60.0 |", "| ssf | 1 | 70.0 | 70.0 |", ""]
    told = [line.removeprefix("| name | ").removeprefix("| lr | ") for line in lines[-8:]]
    assert told == [*head, *named, *head, "| 0.01 | 2 | 55.0 ± 63.5 | 60.0 |"]


def test_without_importances_the_section_says_why():
    assert "cannot be told: that takes 8 complete trials" in as_markdown(trials_of("lr", [0.1]), None)[2]


def test_what_trials_do_not_have_is_refused():
    for asked in (lambda: slices([], "lr"), lambda: as_markdown([], None), lambda: best_of([]), lambda: kinds([])):
        with pytest.raises(ValueError, match="trials must be at least 1 but got 0"):
            asked()
    with pytest.raises(ValueError, match="name must be one of lr but got 'rate'"):
        slices(trials_of("lr", [0.1]), "rate")
    with pytest.raises(ValueError, match="bins must be at least 1 but got 0"):
        slices(trials_of("lr", [0.1]), "lr", 0)


def test_the_best_is_what_all_others_are_compared_with_and_did_most():
    curve = (Estimate(0.5, 0.1, 16), Estimate(0.6, 0.05, 64))
    early = Scored({}, 0.6, Estimate(0.0, 0.0, 16), "0.0", curve[:1])  # equal to the best as long as it went
    best, equal = (Scored({}, 0.6, BEST, name, curve) for name in ("0.1", "0.2"))
    lucky = Scored({}, 0.9, WORSE, "0.3", curve)
    assert best_of([early, best, equal, lucky]) is best
    assert (early.episodes, best.episodes, Scored({}, 0.5, WORSE).episodes) == (16, 64, 64)


def test_hyper_parameters_come_in_the_order_of_a_trial_that_has_most():
    trials = [Scored(values, 0.5, WORSE) for values in ({"alpha": 0.0, "lr": 1}, {"tau": 1, "alpha": 1, "lr": 1})]
    assert list(kinds([*trials, Scored({"name": "a"}, 0.5, WORSE)]).items()) == [
        ("tau", True),
        ("alpha", True),
        ("lr", True),
        ("name", False),
    ]
