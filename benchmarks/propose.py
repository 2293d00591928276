"""Which settings to look at next, and which are worth a race: what a model's belief says, and chance that is seeded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import qmc

from benchmarks.encoding import Encoding, share_of, value_at
from benchmarks.model import Model
from fpt.registry import SOLVERS
from pipeline.config import HyperParameters
from sweeps.schema.space import SOLVER, Range, dimensions

NEW, NEAR, AROUND = 384, 32, 6  # candidates: spread over the space, and near each of the most promising
CLOSE = 0.08  # standard deviation of a near candidate in each column


@dataclass
class Looks:
    """Looks are what a search has seen: settings, in which block of episodes, how accurate they were, on how many."""

    settings: list[HyperParameters] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    episodes: list[int] = field(default_factory=list)

    def add(self, settings: Sequence[HyperParameters], block: int, accuracies: Sequence[float], episodes: int) -> None:
        self.settings += settings
        self.blocks += [block] * len(settings)
        self.accuracies += accuracies
        self.episodes += [episodes] * len(settings)

    def model(self, encoding: Encoding) -> Model:
        return Model(
            encoding.points(self.settings),
            np.array(self.blocks),
            np.array(self.accuracies, float),
            np.array(self.episodes),
        )

    @property
    def different(self) -> list[HyperParameters]:
        """Returns each setting once, in the order in which it was first looked at."""
        return list({repr(sorted(values.items(), key=str)): values for values in self.settings}.values())


def spread_evenly(encoding: Encoding, count: int, seed: int, without: float = 0.1) -> list[HyperParameters]:
    """Returns settings that fill the space by Sobol's sequence, as many for each solver; a share of them without
    prompts, where that is a choice.
    """
    found: list[HyperParameters] = []
    per_solver = -(-count // len(encoding.solvers))
    for place, solver in enumerate(encoding.solvers):
        rng = np.random.default_rng((seed, place))
        names = encoding.names(solver)
        sobol = qmc.Sobol(max(1, len(names)), seed=rng)
        points = sobol.random_base2(max(1, per_solver - 1).bit_length())[:per_solver, : len(names)]
        plain = round(without * per_solver) if SOLVERS[solver].steered and encoding.may_have_none(solver) else 0
        own = [encoding.setting(point, solver, i >= plain) for i, point in enumerate(points.tolist())]
        found += own
    order = np.random.default_rng((seed, 99)).permutation(len(found))
    return [found[i] for i in order[:count]]


def next_settings(encoding: Encoding, looks: Looks, count: int, seed: int) -> list[HyperParameters]:
    """Returns settings to look at next, old ones among them: those that are best on so many surfaces that the model
    thinks likely (Thompson sampling, Biometrika 1933), each once. The same looks and seed give the same settings.
    """
    rng = np.random.default_rng((seed, len(looks.settings)))
    model, known = looks.model(encoding), looks.different
    believed = model.belief(encoding.points(known)).mean
    promising = [known[i] for i in np.argsort(-believed)[:AROUND]]
    candidates = known + spread_evenly(encoding, NEW, int(rng.integers(2**31)))
    candidates += [near for one in promising for near in neighbours(encoding, one, NEAR, rng)]
    belief = model.belief(encoding.points(candidates))
    chosen: list[int] = []
    for surface in belief.draw(rng, count):
        chosen.append(next(int(i) for i in np.argsort(-surface) if int(i) not in chosen))
    return [candidates[i] for i in chosen]


def neighbours(
    encoding: Encoding, values: HyperParameters, count: int, rng: np.random.Generator
) -> list[HyperParameters]:
    """Returns settings near one, with the same choices."""
    solver = str(values.get(SOLVER, encoding.solver))
    found = []
    for _ in range(count):
        near = dict(values)
        for name, (_, entry) in dimensions(encoding.space, solver).items():
            if isinstance(entry, Range) and name in near and not (entry.zero and near[name] == 0):
                near[name] = value_at(share_of(float(near[name]), entry) + CLOSE * rng.standard_normal(), entry)
        found.append(near)
    return found


def finalists(encoding: Encoding, looks: Looks, count: int) -> list[HyperParameters]:
    """Returns the settings that a race is worth, the most promising first."""
    known = looks.different
    belief = looks.model(encoding).belief(encoding.points(known))
    return [known[i] for i in np.argsort(-belief.mean)[:count]]
