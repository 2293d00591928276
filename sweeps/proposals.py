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
from sweeps.config import Range, Search

Announce = Callable[[int, dict[str, HyperParameters], HyperParameters | None], None]
STEERING = ("lambda", "tau", "patches")  # matter only where alpha is not 0


class Proposals(Searcher):  # type: ignore[misc]
    """Seeded TPE (Bergstra et al., NeurIPS 2011) on an Optuna study; stopped trials are told as pruned.

    `values` holds every trial's hyper-parameters by its name, `generation.number`. `announce` hears of a generation
    before Tune does: of its number, its trials' hyper-parameters by
    name, and those of the best trial before.
    """

    def __init__(self, search: Search, study: optuna.Study, announce: Announce | None = None) -> None:
        super().__init__(metric="accuracy", mode="max")
        self.search, self.study, self.announce = search, study, announce
        self.values: dict[str, HyperParameters] = {}
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[optuna.Trial] = []
        self.incumbents: list[HyperParameters | None] = []  # of the generations before each
        self.names: dict[str, str] = {}  # Tune's trial id -> ours
        self.finished: set[str] = set()
        self.told = 0
        for first in search.first.values():
            study.enqueue_trial(_as_optuna(first, search.space))

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
            self.values[name] = _sample(trial, self.search.space)
        if self.announce is not None:
            self.announce(generation, {name: self.values[name] for name in names}, self.incumbents[generation])

    def _best_so_far(self) -> HyperParameters | None:
        """Of those that have done all episodes without a failure; of equals the earlier."""
        done: dict[str, float] = {}
        for trial in (trial.user_attrs["trial"] for trial in self.asked):
            reports = self.reports.get(trial, [])
            if len(reports) == len(self.search.rungs) and reports[-1]["accuracy"] is not None:
                done[trial] = reports[-1]["accuracy"]
        return self.values[max(done, key=lambda trial: done[trial])] if done else None

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
        for trial in self.asked[self.told :]:
            reports = self.reports.get(trial.user_attrs["trial"], [])
            scored = [report for report in reports if report.get("accuracy") is not None]
            for report in scored:
                trial.report(report["accuracy"], report["episodes"])
            if not scored or len(scored) < len(reports):
                self.study.tell(trial, state=TrialState.FAIL)
            elif len(scored) < len(self.search.rungs):
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, scored[-1]["accuracy"])
        self.told = len(self.asked)


def _sample(trial: optuna.Trial, space: Mapping[str, Range]) -> HyperParameters:
    values: HyperParameters = {}
    for name, range_ in sorted(space.items(), key=lambda item: item[0] != "alpha"):  # alpha decides what else matters
        if range_.zero and trial.suggest_categorical(f"{name} is zero", [False, True]):
            values[name] = 0.0
        elif name in STEERING and values.get("alpha") == 0:
            continue
        elif range_.integer:
            values[name] = trial.suggest_int(name, int(range_.low), int(range_.high), log=range_.log)
        else:
            values[name] = trial.suggest_float(name, range_.low, range_.high, log=range_.log)
    return values


def _as_optuna(values: HyperParameters, space: Mapping[str, Range]) -> dict[str, Any]:
    """A setting as enqueue_trial takes it."""
    parameters: dict[str, Any] = {f"{name} is zero": values.get(name) == 0 for name in space if space[name].zero}
    return parameters | {name: value for name, value in values.items() if value != 0 or not space[name].zero}


def open_study(storage: str, name: str) -> optuna.Study:
    """A new study under a name; an old one under it is replaced, for a sweep replays its ledger."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    existing = optuna.study.get_all_study_names(storage)
    if name in existing:
        optuna.delete_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, direction="maximize")
