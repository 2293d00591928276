"""The search's sampler, as Optuna has them: it proposes a generation of looks at a time, by a model of those before."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from pipeline.config import HyperParameters
from sweeps.schema.space import Dimension, as_optuna, distributions_of
from sweeps.search.belief import Belief
from sweeps.search.encoding import Encoding
from sweeps.search.looks import Looks, expected_gain, finalists, key_of, next_settings, spread_evenly
from sweeps.search.plan import Plan
from sweeps.search.record import Gain

BLOCK, ACCURACY = "generation", "accuracy"  # attributes of a trial: whose episode it saw, and what it had there
GAIN_OF = 64  # looks more, of which it is told what they are expected to gain


class LookSampler(BaseSampler):
    """A sampler of looks: trial k of a study is place k of the plan's generations. The first of these hold the
    settings that are named (`first`), those of earlier sweeps (`warm`), and fill the space; each other one is drawn by
    `next_settings` from what the generations up to the one before the last gave, so that workers need not wait for
    proposals. After the looks come those that race: the named, and the most promising.

    A trial tells what it saw by the attributes BLOCK and ACCURACY; one without ACCURACY failed, and counts as the
    worst of its generation. What is proposed depends on (seed, attributes of those generations) alone.
    """

    def __init__(
        self,
        space: Mapping[str, Dimension],
        solver: str,
        plan: Plan,
        seed: int,
        first: Sequence[HyperParameters] = (),
        warm: Sequence[HyperParameters] = (),
        enough: float | None = None,
    ) -> None:
        self.encoding, self.plan, self.seed = Encoding(space, solver), plan, seed
        self.first, self.warm, self.enough = first, warm, enough
        self.sizes = list(plan.generations)  # of looks; fewer once it is enough
        self.proposed: list[list[HyperParameters]] = []
        self.looks = Looks()
        self.heard = 0  # generations whose looks are known

    @property
    def race(self) -> int:
        """Returns the number of the generation that races."""
        return len(self.sizes)

    def place_of(self, number: int) -> tuple[int, int]:
        """Returns the generation of a trial, and its place there."""
        for generation, size in enumerate(self.sizes):
            if number < size:
                return generation, number
            number -= size
        return self.race, number

    def needed(self, generation: int) -> int:
        """Returns how many generations a generation follows from: all, for the race."""
        return generation if generation == self.race else self.plan.follows_from(generation)

    def propose(self, study: Study, generation: int) -> list[HyperParameters]:
        """Returns the settings of a generation, the race's at the end. Those that it follows from must have ended."""
        while len(self.proposed) <= generation:
            self.proposed.append(self._proposed(study, len(self.proposed)))
        return self.proposed[generation]

    def _proposed(self, study: Study, generation: int) -> list[HyperParameters]:
        if generation < self.plan.filling:
            first, count = sum(self.sizes[:generation]), sum(self.sizes[: self.plan.filling])
            spread = spread_evenly(self.encoding, count, self.seed)
            return [*self.first, *self.warm, *spread][first : first + self.sizes[generation]]
        if not self.ends_before(study, generation):
            return next_settings(self.encoding, self.looks, self.sizes[generation], (self.seed, generation))
        self.hear(study, self.race)
        named = {key_of(values): values for values in self.first}
        best = finalists(self.encoding, self.looks, self.plan.racers, self.seed)
        new = [values for values in best if key_of(values) not in named]
        return [*named.values(), *new[: max(0, self.plan.racers - len(named))]]

    def ends_before(self, study: Study, generation: int) -> bool:
        """Returns whether the race comes instead of a generation of looks: there are no more, or what was heard says
        that it is enough.
        """
        if self.plan.filling <= generation < self.race:
            self.hear(study, self.needed(generation))
            if self.enough is not None and 100 * self.gain().mean < self.enough:
                self.sizes = self.sizes[:generation]
        return generation >= self.race

    def hear(self, study: Study, generations: int) -> None:
        """Adds what the first so many generations gave to the looks."""
        if generations <= self.heard:
            return
        told: dict[int, list[FrozenTrial]] = {}
        for trial in study.get_trials(deepcopy=False):
            told.setdefault(trial.user_attrs.get(BLOCK, -1), []).append(trial)
        for block in range(self.heard, generations):
            seen = [trial.user_attrs.get(ACCURACY) for trial in told.get(block, [])]
            worst = min((one for one in seen if one is not None), default=None if self.looks.settings else 0.0)
            if worst is not None:  # an episode that is lost tells nothing
                known = [worst if one is None else one for one in seen]
                self.looks.add(self.proposed[block][: len(known)], block, known, self.plan.look)
        self.heard = generations

    def gain(self) -> Gain:
        """Returns what GAIN_OF more looks are expected to gain."""
        return expected_gain(self.encoding, self.looks, GAIN_OF, self.seed)

    def believed(self, settings: Sequence[HyperParameters]) -> Belief | None:
        """Returns what is believed of settings after the looks that are known; None where there is none."""
        if not self.looks.settings:
            return None
        return self.looks.model(self.encoding).belief(self.encoding.points(settings))

    def best(self) -> tuple[HyperParameters, float, float] | None:
        """Returns which of the settings that were looked at is believed to be the best, the accuracy that is expected
        of it, and the standard deviation of that; None before the first look.
        """
        known = self.looks.different
        if not known:
            return None
        mean, spread = self.expected(known)
        place = int(mean.argmax())
        return known[place], float(mean[place]), float(spread[place])

    def expected(self, settings: Sequence[HyperParameters]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the accuracy that is expected of each setting after the looks that are known, and its standard
        deviation. There must be a look.
        """
        return self.looks.model(self.encoding).each(self.encoding.points(settings))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the distributions of what matters to the trial's setting."""
        values = self._values(study, trial)
        known = distributions_of(self.encoding.space, self.encoding.solver, values)
        return {label: known[label] for label in self._labelled(values)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the trial's setting."""
        return self._labelled(self._values(study, trial))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns a value that lies outside the space, as those of settings that are named may."""
        return self._labelled(self._values(study, trial))[param_name]

    def _values(self, study: Study, trial: FrozenTrial) -> HyperParameters:
        generation, place = self.place_of(trial.number)
        return self.propose(study, generation)[place]

    def _labelled(self, values: HyperParameters) -> dict[str, Any]:
        return as_optuna(values, self.encoding.space, self.encoding.solver)
