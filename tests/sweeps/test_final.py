"""The last word, on made-up accuracies: who wins, who is the baseline, what is compared with what."""

from types import SimpleNamespace

import pytest
from scipy import stats

from pipeline.config import configuration_hash, identity
from sweeps import final
from sweeps.final import BASELINE, judge
from sweeps.progress import Progress
from tests.sweeps.findings import SWEEP

STEERED = {"lambda": 1.0, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.02}
PLAIN = {"alpha": 0.0, "lr": 0.01}
DEFAULTS = SWEEP.search.first["paper defaults"]
EPISODES = SWEEP.final.episodes
ROUGH = [0.0, 0.01, 0.03, -0.02, 0.02, -0.01]  # added, episode by episode, to settings with prompts


def hash_of(run):
    return configuration_hash(identity(run, "images", "weights", "float32"))


class Dispatcher:
    """Solves by formula. `better` is what the winner gains on novel classes, `diverging` the rates that fail there."""

    def __init__(self, better=0.05, diverging=()):
        self.better, self.diverging, self.asked = better, diverging, []
        self.solve = SimpleNamespace(remote=lambda runs, episodes: [self.rows(run, episodes) for run in runs])
        self.status = SimpleNamespace(remote=lambda: {"lost": ["episode 9 of novel"]})
        self.hashes_of = SimpleNamespace(remote=lambda runs: [hash_of(run) for run in runs])

    def rows(self, run, episodes):
        self.asked.append((run, list(episodes)))
        return [self.row(run, episode) for episode in episodes]

    def row(self, run, episode):
        steered = run.solver.name == "lora" and run.prompts.alpha > 0
        accuracy = 0.6 + episode / 100 - abs(run.solver.lr - 0.01) + steered * (self.better + ROUGH[episode])
        failed = run.solver.lr in self.diverging and run.episodes.split == "novel"
        return {
            "accuracy": None if failed else accuracy,
            "failed": failed,
            "seconds": 1.0,
            "prompt_precision": 0.5 if steered else None,
            "prompt_chance": 0.1 if steered else None,
            "attention_on_key_before": 0.2,
            "attention_on_key_after": 0.4,
        }


def proposals(**trials):
    """Trials by name: values, accuracies after each rung (None: failed)."""
    reports = {
        name: [
            {"rung": rung, "episodes": 2 * rung, "accuracy": accuracy}
            for rung, accuracy in enumerate(accuracies, start=1)
        ]
        for name, (_, accuracies) in trials.items()
    }
    values = {name: values for name, (values, _) in trials.items()}
    named = {name.replace("_", ".").removeprefix("t"): reports[name] for name in reports}
    return SimpleNamespace(reports=named, values={n.replace("_", ".").removeprefix("t"): v for n, v in values.items()})


def judged(dispatcher, sweep=SWEEP, **trials):
    session = SimpleNamespace(dispatcher=dispatcher)
    return judge(sweep, sweep.search, session, proposals(**trials), Progress(1))


@pytest.fixture(autouse=True)
def without_ray(monkeypatch):
    monkeypatch.setattr(final.ray, "get", lambda answer: answer)


TRIALS = {
    "t0_0": (PLAIN, [0.5, 0.5]),
    "t0_1": (DEFAULTS, [0.4]),
    "t1_0": (STEERED, [0.6, 0.7]),
    "t1_1": ({**STEERED, "lr": 0.03}, [0.9, None]),
}


def test_the_winner_did_all_its_episodes_and_did_them_best():
    found = judged(Dispatcher(), **TRIALS)
    assert found.values == STEERED
    assert (found.trials, found.stopped) == (4, 2)
    assert found.best.run.solver.lr == 0.02
    assert found.best.run.episodes.split == "novel"


def test_of_equal_trials_the_earlier_wins():
    trials = {f"t0_{i}": ({**STEERED, "patches": 1 + i}, [0.5, 0.7]) for i in range(11)}
    assert judged(Dispatcher(), **dict(reversed(trials.items()))).values["patches"] == 1


def test_the_baseline_has_chosen_its_rate_too():
    """On validation episodes 0.01 does better than the winner's own 0.02."""
    found = judged(Dispatcher(), **TRIALS)
    assert (found.baseline.run.prompts.alpha, found.baseline.run.solver.lr) == (0.0, 0.01)
    untried = judged(Dispatcher(), t0_0=(STEERED, [0.6, 0.7]))
    assert (untried.baseline.run.prompts.alpha, untried.baseline.run.solver.lr) == (0.0, 0.02)


def test_nothing_is_chosen_by_the_episodes_that_are_reported():
    dispatcher = Dispatcher()
    judged(dispatcher, **TRIALS)
    of_split = {"validation": set(), "novel": set()}
    for run, episodes in dispatcher.asked:
        of_split[run.episodes.split].add(tuple(episodes))
    assert of_split == {"validation": {(0, 1, 2, 3)}, "novel": {tuple(range(EPISODES))}}
    reported = [hash_of(run) for run, _ in dispatcher.asked if run.episodes.split == "novel"]
    assert len(reported) == len(set(reported)) == 5


def test_differences_are_paired_and_to_the_baseline():
    dispatcher = Dispatcher()
    found = judged(dispatcher, **TRIALS)
    ours, theirs = (
        [dispatcher.row(compared.run, i)["accuracy"] for i in range(EPISODES)]
        for compared in (found.best, found.baseline)
    )
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    gain = found.best.difference
    assert (gain.mean - gain.ci95, gain.mean + gain.ci95) == pytest.approx(tuple(interval))
    assert gain.mean == pytest.approx(0.05 - 0.01 + sum(ROUGH) / 6)
    assert found.best.estimate.mean == pytest.approx(sum(ours) / EPISODES)
    assert found.baseline.difference is None
    assert found.compared["frozen features"].difference.mean == pytest.approx(-0.01)


def test_what_is_compared():
    found = judged(Dispatcher(), **TRIALS)
    assert list(found.compared) == ["best", BASELINE, "paper defaults", "true masks", "frozen features"]
    assert found.compared["paper defaults"].run.prompts.alpha == 7
    assert found.compared["true masks"].run.prompts.variant == "masks"
    assert found.compared["true masks"].run.solver.lr == found.best.run.solver.lr
    assert found.compared["frozen features"].run.solver.name == "protonet"
    assert all(compared.config_hash == hash_of(compared.run) for compared in found.compared.values())
    assert {compared.config_hash for compared in found.compared.values()} < set(found.hashes)
    assert found.best.localisation["prompt_precision"] == 0.5
    assert found.baseline.localisation["prompt_precision"] is None


def test_true_masks_are_left_out_where_they_mean_nothing():
    without = SWEEP.model_copy(update={"final": SWEEP.final.model_copy(update={"masks": False})})
    assert "true masks" not in judged(Dispatcher(), without, **TRIALS).compared
    assert "true masks" not in judged(Dispatcher(), t0_0=(PLAIN, [0.5, 0.9])).compared


def test_a_setting_that_fails_has_no_numbers():
    found = judged(Dispatcher(diverging=[STEERED["lr"]]), **TRIALS)
    assert (found.best.estimate, found.best.difference) == (None, None)
    assert found.baseline.estimate is not None
    assert found.compared["paper defaults"].difference is not None
    found = judged(Dispatcher(diverging=[PLAIN["lr"]]), **TRIALS)
    assert found.baseline.estimate is None
    assert found.best.estimate is not None
    assert all(compared.difference is None for compared in found.compared.values())


def test_every_problem_is_counted():
    found = judged(Dispatcher(), **TRIALS)
    searched = 4 + 2 + 4 + 4
    assert found.spent == searched + 2 * 4 + 5 * EPISODES
    assert found.validation.episodes == 4


@pytest.mark.parametrize("accuracies", [[0.5], [None, None], [0.5, None]])
def test_without_a_whole_trial_there_is_no_winner(accuracies):
    with pytest.raises(RuntimeError, match="no trial did all its episodes without a failure"):
        judged(Dispatcher(), t0_0=(STEERED, accuracies))
