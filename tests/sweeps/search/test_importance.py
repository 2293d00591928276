import numpy as np
import optuna
import pytest

from sweeps.search.importance import importances


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
