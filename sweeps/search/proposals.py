"""Proposals, generation by generation, as a Ray Tune search algorithm: looks first, then a race.

Proposal k depends on (seed, k, what earlier generations gave) alone, so that a sweep can be repeated exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from ray.tune.search import Searcher

from pipeline.config import HyperParameters
from sweeps.schema.space import sample
from sweeps.schema.sweep import Search
from sweeps.search.importance import importances
from sweeps.search.looks import key_of
from sweeps.search.plan import Plan
from sweeps.search.record import Report, SearchRecord, Trial
from sweeps.search.sampler import ACCURACY, BLOCK, LookSampler
from sweeps.search.scores import Accuracies, scored

# Hears of a generation: its number, its trials' hyper-parameters by name, and the episodes that each rung adds.
Announce = Callable[[int, dict[str, HyperParameters], list[list[int]]], None]
# Takes trials of the study that have ended.
Keep = Callable[[Sequence[FrozenTrial]], None]
# Hears which setting is believed to be the best, its accuracy, that one's standard deviation, and after how many looks.
Hear = Callable[[HyperParameters, float, float, int], None]


@dataclass
class _Asked:
    """A trial of Optuna's: a look, or a part in the race."""

    trial: optuna.Trial
    values: HyperParameters
    reports: list[Report] = field(default_factory=list)
    stopped_by: str | None = None
    ended: bool = False


class Proposals(Searcher):  # type: ignore[misc]
    """Proposals are drawn by a LookSampler on an Optuna study, over `search.space` for a run whose solver is `solver`.
    The study is in memory, as in a database Optuna reads all trials under way for each that it asks; its trials are
    given to `keep` as they end.

    Each look, and each part in the race, is called `generation.place`; a setting that is looked at again goes by the
    name of its first look. All looks of a generation are one trial of Tune's, for they end together, and Tune takes a
    fifth of a second for each; those that race have one each.
    `announce` hears of a generation before Tune does, as soon as those are known that it follows from, and `hear` of
    the setting that is believed to be the best after it, its expected accuracy and how uncertain that is. A trial that
    was stopped in the race is told by its control variate, for which `accuracies` are asked.
    """

    def __init__(
        self,
        search: Search,
        plan: Plan,
        solver: str,
        accuracies: Accuracies,
        keep: Keep | None = None,
        announce: Announce | None = None,
        hear: Hear | None = None,
    ) -> None:
        super().__init__(metric="accuracy", mode="max")
        self.search, self.plan, self.solver = search, plan, solver
        self.accuracies, self.keep, self.announce, self.hear = accuracies, keep, announce, hear
        self.sampler = LookSampler(
            search.space, solver, plan, search.seed, list(search.first.values()), search.warm, search.enough
        )
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(direction="maximize", sampler=self.sampler)
        self.asked: list[list[_Asked]] = []  # by generation
        self.names: dict[str, dict[str, _Asked]] = {}  # Tune's trial id -> what it asks for, by name
        self.first_looks: dict[str, str] = {}  # what a setting goes by
        self.told = 0  # generations

    def suggest(self, trial_id: str) -> Any:
        number, race = len(self.names), self.sampler.race
        generation = min(number, race)
        if generation == len(self.asked):
            self._propose_what_is_known()
        if generation == len(self.asked):
            return None
        named = {f"{generation}.{place}": one for place, one in enumerate(self.asked[generation])}
        racing = generation == self.sampler.race
        mine = list(named)[number - generation :][:1] if racing else list(named)
        if not mine:
            return Searcher.FINISHED
        asked = self.names[trial_id] = {name: named[name] for name in mine}
        return {
            "asked": {name: self.first_looks[key_of(one.values)] for name, one in asked.items()},
            "generation": generation,
            "settings": {name: one.values for name, one in named.items()},
            "rungs": self.rungs_of(generation),
            "race": racing,
        }

    def rungs_of(self, generation: int) -> list[list[int]]:
        """Returns the episodes that each rung of a generation adds."""
        if generation < self.sampler.race:
            return [list(self.plan.episodes(generation))]
        rungs = self.plan.rungs
        return [list(range(start, stop)) for start, stop in zip((0, *rungs), rungs, strict=False)]

    @property
    def racing(self) -> bool:
        """Returns whether the race has been proposed."""
        return len(self.asked) > self.sampler.race

    def _propose_what_is_known(self) -> None:
        """Proposes all generations that follow from those that have ended."""
        while not self.racing:
            generation = len(self.asked)
            needed = self.sampler.needed(generation)
            if not all(one.ended for asked in self.asked[:needed] for one in asked):
                return
            self._tell(needed)
            self._propose(generation)

    def _propose(self, generation: int) -> None:
        """Makes all trials of a generation at once; it may turn out to be the race."""
        if self.sampler.ends_before(self.study, generation):
            if not all(one.ended for asked in self.asked for one in asked):
                return
            self._tell(generation)
        settings = self.sampler.propose(self.study, generation)
        if self.announce is not None:
            named = {f"{generation}.{place}": values for place, values in enumerate(settings)}
            self.announce(generation, named, self.rungs_of(generation))
        self.asked.append([])
        for place in range(len(settings)):
            trial = self.study.ask()
            values = sample(trial, self.search.space, self.solver)
            trial.set_user_attr("trial", f"{generation}.{place}")
            self.first_looks.setdefault(key_of(values), f"{generation}.{place}")
            self.asked[generation].append(_Asked(trial, values))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keeps the reports of a rung, or why there are no more; a trial that is run again after a fault reports the
        same again.
        """
        named = self.names[trial_id]
        for report in result.get("reports", []):
            asked = named[report["asked"]]
            if "stopped_by" in report:
                asked.stopped_by = report["stopped_by"]
            elif len(asked.reports) < report["rung"]:
                asked.reports.append(Report.of(report))
        if "error" in result:
            for asked in named.values():
                asked.stopped_by = "error"

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        for asked in self.names.get(trial_id, {}).values():
            asked.ended = True
            if error:
                asked.stopped_by = "error"
        self._propose_what_is_known()

    def finish(self) -> SearchRecord:
        """Tells Optuna what the race gave, and returns all that was found.

        Raises RuntimeError where what was planned has not ended.
        """
        planned = sum(self.sampler.sizes) + self.plan.racers
        ended = sum(
            one.ended and (one.stopped_by is not None or len(one.reports) == len(self.rungs_of(generation)))
            for generation, asked in enumerate(self.asked)
            for one in asked
        )  # a trial that Tune cuts off has ended for Tune, and has neither said why nor reported all its rungs
        if not self.racing or ended < sum(map(len, self.asked)):
            raise RuntimeError(
                f"the search has ended early, with {ended} of {planned} trials done; the same command goes on with it"
            )
        record = scored(self.trials(), self.plan.rungs, self.sampler, self.accuracies)
        of_setting = {trial.name: trial for trial in record.trials}
        for one in self.asked[self.sampler.race]:
            for report in one.reports:
                if report.accuracy is not None:
                    one.trial.report(report.accuracy, report.episodes)
            self._tell_one(one, of_setting[self.first_looks[key_of(one.values)]].score)
        self._keep(self.asked[self.sampler.race])
        return importances(record, self.search.space, self.solver)

    def trials(self) -> list[Trial]:
        """Returns all settings so far with what they had, in the order of their first looks."""
        looks: dict[str, list[Report]] = {}
        values: dict[str, HyperParameters] = {}
        race: dict[str, _Asked] = {}
        for generation, asked in enumerate(self.asked):
            for one in asked:
                name = self.first_looks[key_of(one.values)]
                values.setdefault(name, one.values)
                if generation < self.sampler.race:
                    looks.setdefault(name, []).extend(one.reports)
                else:
                    race[name] = one
        return [
            Trial(
                name,
                int(name.split(".")[0]),
                own,
                tuple(looks.get(name, ())),
                tuple(race[name].reports) if name in race else (),
                stopped_by=race[name].stopped_by if name in race else None,
            )
            for name, own in values.items()
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune writes down what it would go on with, but a sweep is gone on with from its ledger."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: a sweep is resumed by running it again over its ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing."""

    def _tell(self, generations: int) -> None:
        """Tells Optuna of the looks of the first so many generations, in their order: each by what the model of those
        looks expects of its setting, as accuracies of single episodes are no values to rank by.
        """
        if generations <= self.told:
            return
        new = [one for asked in self.asked[self.told : generations] for one in asked]
        for one in new:
            generation, _ = self.sampler.place_of(one.trial.number)
            one.trial.set_user_attr(BLOCK, generation)
            accuracy = one.reports[0].accuracy if one.reports else None
            if accuracy is not None:
                one.trial.set_user_attr(ACCURACY, accuracy)
                one.trial.report(accuracy, self.plan.look)
        self.sampler.hear(self.study, generations)
        if self.hear is not None and (best := self.sampler.best()) is not None:
            self.hear(*best, sum(self.sampler.sizes[:generations]))
        told = [one for one in new if one.reports and one.reports[0].accuracy is not None]
        expected: Iterable[float] = self.sampler.expected([one.values for one in told])[0] if told else ()
        values = dict(zip(map(id, told), map(float, expected), strict=True))
        for one in new:
            self._tell_one(one, values.get(id(one)))
        self._keep(new)
        self.told = generations

    def _tell_one(self, one: _Asked, value: float | None) -> None:
        if value is None:
            self.study.tell(one.trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(one.trial, value)

    def _keep(self, told: Sequence[_Asked]) -> None:
        if self.keep is not None:
            trials = self.study.get_trials(deepcopy=False)
            self.keep([trials[one.trial.number] for one in told])
