"""A response surface from a real ledger, made continuous: what any setting would have had on any episode."""

import json
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet
from jaxtyping import Float
from numpy import ndarray
from scipy.special import digamma, polygamma
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LinearRegression

from benchmarks.search.surfaces import ANCHORS, EPISODES, FOLDER, PEAK_EPISODES, SURFACES
from pipeline.config import HyperParameters
from sweeps.search.encoding import Encoding
from sweeps.search.looks import spread_evenly

WAVES = 400  # random Fourier features (Rahimi and Recht, NeurIPS 2007) of an episode's liking
LEAST = 1e-6  # variance of a setting on an episode: a tenth of a point, squared


class Noise:
    """Noise is what is a setting's own on an episode, beside how hard that is: its standard deviation, which is smooth
    over settings (bad ones have ten times the variance of good ones), and the share of its variance that settings near
    each other have in common (`liking`). That of the same episodes with more queries is `usual` noise, of which the
    measured settings tell by how much it is less.
    """

    def __init__(
        self,
        points: Float[ndarray, "settings columns"],
        measured: Float[ndarray, "settings episodes"],
        usual: "Noise | None" = None,
    ) -> None:
        residuals, freedom = _residuals(measured), measured.shape[1] - 1
        variances = np.maximum((residuals**2).sum(axis=1) / freedom, LEAST)
        # The expectation and the variance of the logarithm of a variance that so many degrees of freedom tell.
        low, chance = digamma(freedom / 2) - np.log(freedom / 2), float(polygamma(1, freedom / 2))
        logarithms = np.log(variances) - low
        if usual is None:
            self.process = _fitted(points, logarithms, np.full(len(points), chance))
            self.less = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        else:
            self.process = usual.process
            self.less = LinearRegression().fit(self.process.predict(points)[:, None], logarithms)
        self.scales = np.asarray(self.process.kernel_.k2.length_scale)
        alike = RBF(self.scales)(points)
        standard = residuals / self.deviation(points)[:, None]
        pairs = np.triu_indices(len(points), 1)
        shared = (standard @ standard.T / freedom)[pairs]
        fitted = LinearRegression(fit_intercept=True).fit(alike[pairs][:, None], shared)
        self.liking = float(np.clip(fitted.coef_[0], 0.0, 0.95))

    def deviation(self, points: Float[ndarray, "settings columns"]) -> Float[ndarray, " settings"]:
        """Returns the standard deviation of each setting on an episode."""
        return np.asarray(np.exp(self.less.predict(self.process.predict(points)[:, None]) / 2))


def _residuals(measured: Float[ndarray, "settings episodes"]) -> Float[ndarray, "settings episodes"]:
    """Returns what is the settings' own on each episode: how hard that is, the better half of them tells, for what bad
    settings find hard is their own.
    """
    means = measured.mean(axis=1, keepdims=True)
    easy = (measured - means)[means[:, 0] >= np.median(means)].mean(axis=0)
    return np.asarray(measured - means - easy)


class Simulated:
    """A surface by its name: `truth` is the expected accuracy of settings, a Gaussian process on the measured means;
    `on` adds what episodes like: smooth over settings, as the measured residuals are, and chance.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        sweep = SURFACES[name].sweep(Path("runs"))
        assert sweep.search is not None
        self.name, self.space, self.solver = name, sweep.search.space, sweep.solver.name
        self.encoding = Encoding(self.space, self.solver)
        table = pyarrow.parquet.read_table(folder / f"{name}.parquet")
        self.settings: list[HyperParameters] = [json.loads(values) for values in table["values"].to_pylist()]
        told = table["accuracies"].to_pylist()
        self.measured = np.array([own[:EPISODES] for own in told], float)  # those that all settings did
        self.points = self.encoding.points(self.settings)
        self.means, self.counts = _levelled(told)
        self.noise = Noise(self.points, self.measured)
        self.own = self.noise.deviation(self.points) ** 2 / self.counts  # of the measured means
        self.process = _fitted(self.points, self.means, self.own)
        searched = np.array([own for own in table["searched"].to_pylist() if own], float)
        self.noise_of_searches = Noise(self.points[: len(searched)], searched, self.noise)

    def truth(self, settings: list[HyperParameters]) -> Float[ndarray, " settings"]:
        return np.asarray(self.process.predict(self.encoding.points(settings)))

    @cached_property
    def best(self) -> float:
        """Returns the highest expected accuracy of very many settings."""
        tried = spread_evenly(self.encoding, 8192, seed=12345) + self.settings
        return float(self.truth(tried).max())

    def held_out(self, folds: int = 8) -> tuple[float, float]:
        """Returns the root mean square error of predicted means of settings that the process has not seen, and what of
        it is the measured means' own noise.
        """
        errors, places = [], np.random.default_rng(0).permutation(len(self.means))
        for fold in range(folds):
            left = places[fold::folds]
            kept = np.setdiff1d(places, left)
            process = _fitted(self.points[kept], self.means[kept], self.own[kept])
            errors += (process.predict(self.points[left]) - self.means[left]).tolist()
        return float(np.sqrt(np.mean(np.square(errors)))), float(np.sqrt(np.mean(self.own)))


class Episodes:
    """Episodes of a simulated sweep, with as many queries as a search asks, or only a verdict's (`few`): the same
    settings have the same accuracy on the same episode.
    """

    def __init__(self, surface: Simulated, seed: int, few: bool = False) -> None:
        self.surface, self.seed = surface, seed
        self.noise = surface.noise if few else surface.noise_of_searches
        self.spread = float(surface.measured.mean(axis=0).std(ddof=1))

    def on(self, settings: list[HyperParameters], episodes: range) -> Float[ndarray, "settings episodes"]:
        surface = self.surface
        points, truth = surface.encoding.points(settings), surface.truth(settings)
        deviation, liking, scales = self.noise.deviation(points), self.noise.liking, self.noise.scales
        found = np.empty((len(settings), len(episodes)))
        for place, episode in enumerate(episodes):
            rng = np.random.default_rng((self.seed, episode))
            waves = rng.standard_normal((WAVES, points.shape[1])) / scales
            heights, phases = rng.standard_normal(WAVES), rng.uniform(0, 2 * np.pi, WAVES)
            liked = np.sqrt(2 / WAVES) * np.cos(points @ waves.T + phases) @ heights
            chance = np.array([_chance(self.seed, episode, point) for point in points])
            easy = self.spread * rng.standard_normal()
            own = np.sqrt(liking) * liked + np.sqrt(1 - liking) * chance
            found[:, place] = truth + easy + deviation * own
        return found


def _chance(seed: int, episode: int, point: ndarray) -> float:
    return float(np.random.default_rng([seed, episode, *point.view(np.uint64).tolist()]).standard_normal())


def _levelled(told: list[list[float]]) -> tuple[ndarray, ndarray]:
    """Returns the mean accuracy of each setting, and on how many episodes. Those that did more than EPISODES were
    chosen by these, so only the others count for them; how much easier those are is told by the ANCHORS, which were
    not chosen.
    """
    means, counts = np.array([np.mean(own[:EPISODES]) for own in told]), np.full(len(told), EPISODES)
    chosen = [place for place, own in enumerate(told) if len(own) > EPISODES]
    if chosen:
        later = np.array([np.mean(told[place][EPISODES:]) for place in chosen])
        anchors = [i for i, place in enumerate(chosen) if place < ANCHORS]
        easier = later[anchors].mean() - means[:ANCHORS].mean()
        means[chosen], counts[chosen] = later - easier, PEAK_EPISODES - EPISODES
    return means, counts


def _fitted(points: ndarray, means: ndarray, noise: ndarray) -> GaussianProcessRegressor:
    scale = float(means.var())
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * RBF(np.full(points.shape[1], 0.6), (0.08, 8.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        known = GaussianProcessRegressor(
            kernel, alpha=np.maximum(noise / scale, 1e-4), normalize_y=True, n_restarts_optimizer=1, random_state=0
        )
        return known.fit(points, means)
