"""Optuna's proposals, generation by generation, as a Ray Tune search algorithm.

Proposal k depends on (seed, k, finished generations) alone: a sampler is made anew for each generation, and results
are told in the order of the trials, so that a sweep can be repeated exactly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from pipeline.config import HyperParameters
from sweeps.schema.space import as_optuna, sample
from sweeps.schema.sweep import Search
from sweeps.search.importance import importances
from sweeps.search.record import Report, SearchRecord, Trial
from sweeps.statistics.racing import control_variate

Announce = Callable[[int, dict[str, HyperParameters], HyperParameters | None], None]
# Returns the accuracies of settings, by their trials' names, on so many of the first episodes each.
Accuracies = Callable[[Mapping[str, tuple[HyperParameters, int]]], dict[str, list[float]]]


class Proposals(Searcher):  # type: ignore[misc]
    """Proposals are made by seeded TPE (Bergstra et al., NeurIPS 2011) on an Optuna study, over `search.space` for a
    run whose solver is `solver`.

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
        self.reports: dict[str, list[Report]] = {}
        self.stopped_by: dict[str, str] = {}
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
        settings = {other: values for other, values in self.values.items() if other.split(".")[0] == str(generation)}
        return {
            "trial": name,
            "generation": generation,
            "values": self.values[name],
            "settings": settings,
            "incumbent": self.incumbents[generation],
        }

    def _propose(self, generation: int) -> None:
        """Makes all trials of a generation at once."""
        self._tell()
        leader = self._so_far().leader
        self.incumbents.append(leader.values if leader else None)
        self.study.sampler = optuna.samplers.TPESampler(
            seed=(self.search.seed * 1_000_003 + generation) % 2**32, n_startup_trials=self.search.generation
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

    def _so_far(self) -> SearchRecord:
        trials = (trial.user_attrs["trial"] for trial in self.asked)
        return SearchRecord(tuple(map(self._as_told, trials)), self.search.rungs)

    def _as_told(self, name: str) -> Trial:
        return Trial(
            name,
            int(name.split(".")[0]),
            self.values[name],
            tuple(self.reports.get(name, [])),
            self.scores.get(name),
            self.stopped_by.get(name),
        )

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keeps the report of a rung, or why there are no more; a trial that is run again after a fault reports the
        same again.
        """
        name = self.names[trial_id]
        if "stopped_by" in result or "error" in result:
            self.stopped_by[name] = result.get("stopped_by", "error")
        elif len(past := self.reports.setdefault(name, [])) < result["rung"]:
            past.append(Report.of(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self.names:
            self.finished.add(self.names[trial_id])
            if error:
                self.stopped_by[self.names[trial_id]] = "error"

    def finish(self) -> SearchRecord:
        """Tells Optuna what the last generation gave, and returns all that was found.

        Raises RuntimeError where a planned trial has not ended.
        """
        self._so_far().check_ended(self.search.trials)
        self._tell()
        return replace(self._so_far(), importances=importances(self.study))

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: a sweep is resumed by running it again over its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing."""

    def _tell(self) -> None:
        """Tells Optuna of the trials of a generation, in their order."""
        so_far, new = self._so_far(), self.asked[self.told :]
        stopped = [trial for trial in so_far.trials[self.told :] if self._was_stopped(trial)]
        self.scores |= {trial.name: trial.accuracy for trial in so_far.whole if trial.accuracy is not None}
        self.scores |= self._scores_of(stopped, so_far.leader)
        for trial, found in zip(new, so_far.trials[self.told :], strict=True):
            for report in found.reports:
                if report.accuracy is not None:
                    trial.report(report.accuracy, report.episodes)
            trial.set_user_attr("stopped", found in stopped)
            if found.name in self.scores:
                self.study.tell(trial, self.scores[found.name])
            else:
                self.study.tell(trial, state=TrialState.FAIL)
        self.told = len(self.asked)

    def _was_stopped(self, trial: Trial) -> bool:
        return 0 < len(trial.reports) < len(self.search.rungs) and trial.accuracy is not None

    def _scores_of(self, stopped: Sequence[Trial], leader: Trial | None) -> dict[str, float]:
        """Returns control variates of trials by their last reports; none where no trial has done all episodes."""
        if not stopped or leader is None:
            return {}
        asked = {trial.name: (trial.values, trial.episodes) for trial in (*stopped, leader)}
        accuracies = self.accuracies(asked)
        return {trial.name: control_variate(accuracies[leader.name], accuracies[trial.name]) for trial in stopped}


@contextmanager
def open_study(storage: str, name: str) -> Iterator[optuna.Study]:
    """Makes a study under a name, in place of an older study of that name, for a sweep replays its ledger. Its database
    is open within the block.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = optuna.storages.RDBStorage(storage)
    try:
        if name in optuna.study.get_all_study_names(database):
            optuna.delete_study(study_name=name, storage=database)
        yield optuna.create_study(study_name=name, storage=database, direction="maximize")
    finally:
        database.remove_session()
        database.engine.dispose()
