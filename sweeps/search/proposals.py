"""Optuna's proposals, generation by generation, as a Ray Tune search algorithm.

Proposal k depends on (seed, k, finished generations) alone: a sampler is made anew for each generation, and results
are told in the order of the trials, so that a sweep can be repeated exactly.
"""

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from pipeline.config import HyperParameters
from sweeps.schema.space import as_optuna, sample
from sweeps.schema.sweep import Search
from sweeps.statistics.racing import control_variate

Announce = Callable[[int, dict[str, HyperParameters], HyperParameters | None], None]
# Accuracies of settings, by their trials' names, on so many of the first episodes each.
Accuracies = Callable[[Mapping[str, tuple[HyperParameters, int]]], dict[str, list[float]]]


class Proposals(Searcher):  # type: ignore[misc]
    """Seeded TPE (Bergstra et al., NeurIPS 2011) on an Optuna study, over `search.space` for a run whose solver is
    `solver`.

    `values` holds every trial's hyper-parameters by its name, `generation.number`. `announce` hears of a generation
    before Tune does: of its number, its trials' hyper-parameters by name, and those of the best trial before. A trial
    that was stopped is told by its control variate, for which `accuracies` are asked: what it would have on all
    episodes by those that it shares with the best trial so far.
    """

    def __init__(
        self, search: Search, solver: str, study: optuna.Study, accuracies: Accuracies, announce: Announce | None = None
    ) -> None:
        super().__init__(metric="accuracy", mode="max")
        self.search, self.solver, self.study = search, solver, study
        self.accuracies, self.announce = accuracies, announce
        self.values: dict[str, HyperParameters] = {}
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.scores: dict[str, float] = {}  # as told
        self.asked: list[optuna.Trial] = []
        self.incumbents: list[HyperParameters | None] = []  # of the generations before each
        self.names: dict[str, str] = {}  # Tune's trial id -> ours
        self.finished: set[str] = set()
        self.told = 0
        for first in search.first.values():
            study.enqueue_trial(as_optuna(first, search.space, solver))

    def suggest(self, trial_id: str) -> Any:
        number = len(self.names)
        if number == self.search.trials:
            return Searcher.FINISHED
        generation, place = divmod(number, self.search.generation)
        if place == 0:
            if len(self.finished) < number:
                return None
            self._propose(generation)
        name = f"{generation}.{place}"
        self.names[trial_id] = name
        settings = {other: own for other, own in self.values.items() if other.split(".")[0] == str(generation)}
        return {
            "trial": name,
            "generation": generation,
            "values": self.values[name],
            "settings": settings,
            "incumbent": self.incumbents[generation],
        }

    def _propose(self, generation: int) -> None:
        """All trials of a generation at once."""
        self._tell()
        self.incumbents.append(self._best_so_far())
        self.study.sampler = optuna.samplers.TPESampler(
            seed=self.search.seed * 1_000_003 + generation, n_startup_trials=self.search.generation
        )
        size = min(self.search.generation, self.search.trials - len(self.asked))
        names = [f"{generation}.{place}" for place in range(size)]
        for name in names:
            trial = self.study.ask()
            self.asked.append(trial)
            trial.set_user_attr("trial", name)
            self.values[name] = sample(trial, self.search.space, self.solver)
        if self.announce is not None:
            self.announce(generation, {name: self.values[name] for name in names}, self.incumbents[generation])

    def _best_so_far(self) -> HyperParameters | None:
        return self.values[self.best] if self.best else None

    @property
    def whole(self) -> dict[str, float]:
        """Accuracies of the trials that have done all episodes without a failure."""
        done: dict[str, float] = {}
        for trial in (trial.user_attrs["trial"] for trial in self.asked):
            reports = self.reports.get(trial, [])
            if len(reports) == len(self.search.rungs) and reports[-1]["accuracy"] is not None:
                done[trial] = reports[-1]["accuracy"]
        return done

    @property
    def best(self) -> str | None:
        """The best of those; of equals the earlier."""
        done = self.whole
        return max(done, key=lambda trial: done[trial]) if done else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keeps the report of a rung; a trial that is run again after a fault reports the same again."""
        past = self.reports.get(self.names[trial_id], [])
        if "stopped_by" in result or "error" in result or (past and past[-1]["rung"] >= result["rung"]):
            return
        self.reports.setdefault(self.names[trial_id], []).append(result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self.names:
            self.finished.add(self.names[trial_id])

    def finish(self) -> None:
        """Tells Optuna what the last generation gave."""
        self._tell()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a sweep is resumed by running it again over its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def _tell(self) -> None:
        """Optuna hears of the trials of a generation, in their order."""
        new = [(trial, trial.user_attrs["trial"]) for trial in self.asked[self.told :]]
        stopped = {name: self.reports[name][-1] for _, name in new if self._was_stopped(name)}
        whole = self.whole
        self.scores |= {name: whole[name] for _, name in new if name in whole} | self._scores_of(stopped)
        for trial, name in new:
            for report in self.reports.get(name, []):
                if report["accuracy"] is not None:
                    trial.report(report["accuracy"], report["episodes"])
            trial.set_user_attr("stopped", name in stopped)
            if name in self.scores:
                self.study.tell(trial, self.scores[name])
            else:
                self.study.tell(trial, state=TrialState.FAIL)
        self.told = len(self.asked)

    def _was_stopped(self, name: str) -> bool:
        reports = self.reports.get(name, [])
        return 0 < len(reports) < len(self.search.rungs) and reports[-1]["accuracy"] is not None

    def _scores_of(self, stopped: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        """Control variates of trials by their last reports; none where no trial has done all episodes."""
        if not stopped or self.best is None:
            return {}
        asked = {name: (self.values[name], report["episodes"]) for name, report in stopped.items()}
        accuracies = self.accuracies({**asked, self.best: (self.values[self.best], self.search.rungs[-1])})
        return {name: control_variate(accuracies[self.best], accuracies[name]) for name in stopped}


def open_study(storage: str, name: str) -> optuna.Study:
    """A new study under a name; an old one under it is replaced, for a sweep replays its ledger."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    existing = optuna.study.get_all_study_names(storage)
    if name in existing:
        optuna.delete_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, direction="maximize")
