"""A session that solves by formula, and what is judged by it."""

import numpy as np

from fpt.registry import SOLVERS
from pipeline import identity
from pipeline.data.sampler import EpisodeSampler
from pipeline.dispatch.status import Status
from pipeline.identity import Inputs
from sweeps.search.plan import plan_of
from sweeps.search.record import SearchRecord
from sweeps.statistics.estimates import Estimate
from sweeps.terminal.progress import Progress
from sweeps.verdict.judge import judge
from tests.sweeps.findings import SWEEP as TINY_SWEEP
from tests.sweeps.findings import looked_at, searched

FINAL = TINY_SWEEP.final.model_copy(update={"episodes": 24, "ensemble": 0})
SWEEP = TINY_SWEEP.model_copy(update={"final": FINAL})
STEERED = {"lambda": 1.0, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.02}
PLAIN = {"alpha": 0.0, "lr": 0.01}
DEFAULTS = SWEEP.search.first["paper defaults"]
EPISODES = SWEEP.final.episodes  # in which more than 30 of 100 classes are drawn
FROZEN_NAMES = [name for name, solver in SOLVERS.items() if not solver.trained]
ROUGH = [0.0, 0.01, 0.03, -0.02, 0.02, -0.01]  # added, again and again, to settings with prompts


def hash_of(run):
    return identity.hash_of(run, Inputs("images", "weights", "float32"))


class StandIn:
    """A session that solves by formula. `better` is what prompts gain, `diverging` are the rates that fail on novel
    classes, `frozen` is how far the best frozen features are above fine-tuning without prompts at its best rate; the
    others are a point below, and so is a head that is not trained. `classes` is how many there are.
    """

    def __init__(self, better=0.05, diverging=(), frozen=-0.02, classes=100):
        self.better, self.diverging, self.frozen, self.classes = better, diverging, frozen, classes
        self.asked = []

    def solve(self, runs, episodes):
        return [self.rows(run, episodes) for run in runs]

    def solve_all(self, questions):
        return [self.solve(runs, episodes) for runs, episodes in questions]

    def sampler(self, run):
        """Episodes of so many classes that intervals are over episodes, with more queries where a search asks them."""
        more = (run.episodes.query_up_to or 3) - 3
        return EpisodeSampler({f"class {i}": np.arange(20) for i in range(self.classes)}, 3, 1, 3, 0, more=more)

    def status(self):
        return Status(lost=("episode 9 of novel",))

    def hashes(self, runs):
        return [hash_of(run) for run in runs]

    def accuracies(self, asked):
        return [self.known(run, count) for run, count in asked]

    def known(self, run, count):
        return [self.row(run, episode)["accuracy"] for episode in range(count)]

    def rows(self, run, episodes):
        self.asked.append((run, list(episodes)))
        return [self.row(run, episode) for episode in episodes]

    def row(self, run, episode):
        trained = run.solver.name == "lora" and run.solver.epochs > 0
        steered = trained and run.prompts.alpha > 0
        accuracy = 0.6 + (episode % 40) / 100 + steered * (self.better + ROUGH[episode % 6])
        accuracy -= abs(run.solver.lr - 0.01) if trained else 0.01 * (run.solver.name != "r2d2") - self.frozen
        failed = trained and run.solver.lr in self.diverging and run.episodes.split == "novel"
        return {
            "accuracy": None if failed else accuracy,
            "failed": failed,
            "queries": 9,
            "class_hits": [3 * accuracy] * 3,
            "episode": episode,
            "seconds": 1.0,
            "prompt_precision": 0.5 if steered else None,
            "prompt_chance": 0.1 if steered else None,
            "attention_on_key_before": 0.2,
            "attention_on_key_after": 0.4,
        }


TRIALS = [
    searched("0.0", PLAIN, [0.5, 0.5]),
    searched("0.1", DEFAULTS, [0.4]),
    searched("1.0", STEERED, [0.6, 0.7]),
    searched("1.1", {**STEERED, "lr": 0.03}, [0.9, None]),
    looked_at("1.2", {**STEERED, "lr": 0.04}, [0.9, 0.4], score=0.55, to_winner=Estimate(-0.05, 0.04, 2)),
]


def judged(session, sweep=SWEEP, trials=None, progress=None):
    record = SearchRecord(tuple(TRIALS if trials is None else trials), (2, 4))
    plan = plan_of(sweep.search)
    return judge(sweep, sweep.search, plan, session, record, Progress(1) if progress is None else progress)
