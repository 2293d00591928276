"""Which settings to look at next, and which are worth a race: what a model's belief says, and chance that is seeded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import qmc

from fpt.registry import SOLVERS
from pipeline.config import HyperParameters
from sweeps.schema.space import SOLVER, Range, dimensions
from sweeps.search.belief import Model
from sweeps.search.encoding import Encoding, share_of, value_at
from sweeps.search.record import Gain

KNOWN, NEW, NEAR, AROUND = 192, 256, 24, 6  # candidates: looked at, spread over the space, near each of the best
CLOSE = 0.08  # standard deviation of a near candidate in each column
WITHOUT = 0.1  # share of the first looks that go to settings without prompts
AGAIN = 0.4  # share of looks at settings that were looked at before
SURFACES = 512  # that are drawn to choose who races
CONTINUATIONS = 64  # of a search, in thought
GROWN = 1.25  # so many times the looks, and what the model weighs is fitted anew


def key_of(values: HyperParameters) -> str:
    """Returns a text that is the same for equal settings alone."""
    return repr(sorted(values.items()))


@dataclass
class Looks:
    """Looks are what a search has seen: settings, in which block of episodes, how accurate they were, on how many."""

    settings: list[HyperParameters] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    episodes: list[int] = field(default_factory=list)
    latest: Model | None = None

    def add(self, settings: Sequence[HyperParameters], block: int, accuracies: Sequence[float], episodes: int) -> None:
        """Adds looks of one block, whose episodes they share."""
        self.settings += settings
        self.blocks += [block] * len(settings)
        self.accuracies += accuracies
        self.episodes += [episodes] * len(settings)

    def model(self, encoding: Encoding) -> Model:
        """Returns the model of all looks. What it weighs is fitted anew where they have grown by a quarter."""
        earlier = self.latest
        if earlier is not None and len(earlier.looks) == len(self.settings):
            return earlier
        self.latest = Model(
            encoding.points(self.settings),
            np.array(self.blocks),
            np.array(self.accuracies, float),
            np.array(self.episodes),
            earlier.kernel if earlier else None,
            earlier is not None and len(self.settings) < GROWN * earlier.fitted_to,
        )
        if earlier is not None and self.latest.kernel is earlier.kernel:
            self.latest.fitted_to = earlier.fitted_to
        return self.latest

    @property
    def different(self) -> list[HyperParameters]:
        """Returns each setting once, in the order in which it was first looked at."""
        return list({key_of(values): values for values in self.settings}.values())


def spread_evenly(encoding: Encoding, count: int, seed: int, without: float = WITHOUT) -> list[HyperParameters]:
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


def next_settings(encoding: Encoding, looks: Looks, count: int, seed: int | tuple[int, ...]) -> list[HyperParameters]:
    """Returns settings to look at next, each once: those that are best on so many surfaces that the model thinks likely
    (Thompson sampling, Biometrika 1933), a share (AGAIN) of them among settings that were looked at, for the others
    nearly always win by being unknown. The same looks and seed give the same settings.
    """
    rng = np.random.default_rng(seed)
    model = looks.model(encoding)
    candidates = _candidates(encoding, looks, model, rng)
    belief = model.belief(encoding.points(candidates))
    chosen: list[int] = []
    known, again = min(KNOWN, len(looks.different)), round(AGAIN * count)
    for place, surface in enumerate(belief.draw(rng, count)):
        open_to = surface[:known] if place < again else surface
        best = (int(i) for i in np.argsort(-open_to) if int(i) not in chosen)
        chosen.append(next(best, len(chosen)))
    return [candidates[i] for i in chosen]


def expected_gain(encoding: Encoding, looks: Looks, count: int, seed: int) -> Gain:
    """Returns what so many more looks are expected to gain: how much better the setting is that would then be believed
    to be the best than the one that is now, on average over surfaces that the model thinks likely (preposterior
    analysis; Raiffa and Schlaifer, Applied Statistical Decision Theory, 1961). All looks are drawn at once, as
    `next_settings` does, so that what each would teach the next is left out.
    """
    rng = np.random.default_rng((seed, len(looks.settings), count))
    model = looks.model(encoding)
    candidates = _candidates(encoding, looks, model, rng)
    belief = model.belief(encoding.points(candidates))
    now = int(belief.mean.argmax())
    asked = belief.draw(rng, count).argmax(axis=1)
    noise = model.scale**2 * (model.kernel.noise + model.kernel.liking)
    with_looks = belief.covariance[:, asked]
    weight = np.linalg.solve(with_looks[asked] + noise * np.eye(count), with_looks.T).T
    gains = []
    for surface in belief.draw(rng, CONTINUATIONS):
        seen = surface[asked] + np.sqrt(noise) * rng.standard_normal(count)
        then = int((belief.mean + weight @ (seen - belief.mean[asked])).argmax())
        gains.append(surface[then] - surface[now])
    return Gain(count, float(np.mean(gains)), float(np.std(gains, ddof=1)))


def _candidates(encoding: Encoding, looks: Looks, model: Model, rng: np.random.Generator) -> list[HyperParameters]:
    """Returns settings that were looked at, new ones all over the space, and neighbours of the most promising."""
    known = promising(encoding, looks, model)
    candidates = known + spread_evenly(encoding, NEW, int(rng.integers(2**31)))
    mean, _ = model.each(encoding.points(known))
    best = [known[i] for i in np.argsort(-mean)[:AROUND]]
    candidates += [near for one in best for near in neighbours(encoding, one, NEAR, rng)]
    return list({key_of(values): values for values in candidates}.values())


def promising(encoding: Encoding, looks: Looks, model: Model) -> list[HyperParameters]:
    """Returns the settings that were looked at and may be the best: KNOWN of them at most, by what is believed of them
    and twice how uncertain that is.
    """
    known = looks.different
    mean, spread = model.each(encoding.points(known))
    return [known[i] for i in np.argsort(-(mean + 2 * spread))[:KNOWN]]


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


def finalists(encoding: Encoding, looks: Looks, count: int, seed: int) -> list[HyperParameters]:
    """Returns so many of the settings that were looked at, of which the best is expected to be as good as can be over
    surfaces that the model thinks likely: one after the other, each that raises this most. So a race is not of equals.
    """
    model = looks.model(encoding)
    known = promising(encoding, looks, model)
    belief = model.belief(encoding.points(known))
    surfaces = belief.draw(np.random.default_rng((seed, len(looks.settings))), SURFACES)
    best, chosen = np.full(len(surfaces), -np.inf), list[int]()
    for _ in range(min(count, len(known))):
        expected = np.maximum(surfaces, best[:, None]).mean(axis=0)
        expected[chosen] = -np.inf
        chosen.append(int(expected.argmax()))
        best = np.maximum(best, surfaces[:, chosen[-1]])
    return [known[i] for i in chosen]
