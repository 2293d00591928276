"""A response surface from a real ledger, made continuous: what any setting would have had on any episode."""

import json
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet
from jaxtyping import Float
from numpy import ndarray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LinearRegression

from benchmarks.search.surfaces import ANCHORS, EPISODES, FOLDER, PEAK_EPISODES, SURFACES
from pipeline.config import HyperParameters
from sweeps.search.encoding import Encoding
from sweeps.search.looks import spread_evenly

WAVES = 400  # random Fourier features (Rahimi and Recht, NeurIPS 2007) of an episode's liking


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
        own_means, easy = self.measured.mean(axis=1), self.measured.mean(axis=0)
        residuals = self.measured - own_means[:, None] - easy + easy.mean()
        rows, episodes = residuals.shape
        self.noise = float((residuals**2).sum() / ((rows - 1) * (episodes - 1)))  # variance of a setting on an episode
        self.means, self.counts = _levelled(told)
        self.process = _fitted(self.points, self.means, self.noise / self.counts)
        self.scales = np.asarray(self.process.kernel_.k2.length_scale)
        shared = residuals @ residuals.T / (episodes - 1)
        alike = RBF(self.scales)(self.points)
        pairs = np.triu_indices(rows, 1)
        fitted = LinearRegression(fit_intercept=True).fit(alike[pairs][:, None], shared[pairs])
        self.liking = float(np.clip(fitted.coef_[0], 0.0, 0.95 * self.noise))

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
            process = _fitted(self.points[kept], self.means[kept], self.noise / self.counts[kept])
            errors += (process.predict(self.points[left]) - self.means[left]).tolist()
        return float(np.sqrt(np.mean(np.square(errors)))), float(np.sqrt(np.mean(self.noise / self.counts)))


class Episodes:
    """Episodes of a simulated sweep: the same settings have the same accuracy on the same episode."""

    def __init__(self, surface: Simulated, seed: int) -> None:
        self.surface, self.seed = surface, seed
        self.spread = float(surface.measured.mean(axis=0).std(ddof=1))

    def on(self, settings: list[HyperParameters], episodes: range) -> Float[ndarray, "settings episodes"]:
        surface = self.surface
        points, truth = surface.encoding.points(settings), surface.truth(settings)
        own = np.sqrt(surface.noise - surface.liking)
        found = np.empty((len(settings), len(episodes)))
        for place, episode in enumerate(episodes):
            rng = np.random.default_rng((self.seed, episode))
            waves = rng.standard_normal((WAVES, points.shape[1])) / surface.scales
            heights, phases = rng.standard_normal(WAVES), rng.uniform(0, 2 * np.pi, WAVES)
            liked = np.sqrt(2 / WAVES) * np.cos(points @ waves.T + phases) @ heights
            chance = np.array([_chance(self.seed, episode, point) for point in points])
            easy = self.spread * rng.standard_normal()
            found[:, place] = truth + easy + np.sqrt(surface.liking) * liked + own * chance
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
