"""What looks at settings have told so far: a Gaussian process that knows what they share and how noisy they are.

A look is the mean accuracy of a setting on a few episodes, which all looks of its generation share. How hard those are
is a term of its own (`block`), so that settings of different generations are compared by what is their own.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_solve, solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Hyperparameter, Kernel, WhiteKernel

JITTER = 1e-8


class _OfPoint(RBF):  # type: ignore[misc]
    """A squared exponential of all columns but the first, which names the block."""

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> Any:
        return super().__call__(X[:, 1:], None if Y is None else Y[:, 1:], eval_gradient)


class _OfBlock(Kernel):  # type: ignore[misc]
    """What looks of one block share: 1 where the first column is the same, times `share`."""

    def __init__(self, share: float = 1.0, share_bounds: Any = (1e-3, 1e2)) -> None:
        self.share, self.share_bounds = share, share_bounds

    @property
    def hyperparameter_share(self) -> Hyperparameter:
        return Hyperparameter("share", "numeric", self.share_bounds)

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> Any:
        other = X if Y is None else Y
        same = self.share * (X[:, :1] == other[:, 0]).astype(float)
        return (same, same[..., None]) if eval_gradient else same

    def diag(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), self.share)

    def is_stationary(self) -> bool:
        return True


@dataclass(frozen=True)
class Belief:
    """A belief is what is known of settings: the expected accuracy of each, and how that may be wrong together."""

    mean: Float[np.ndarray, " settings"]
    covariance: Float[np.ndarray, "settings settings"]

    @property
    def spread(self) -> Float[np.ndarray, " settings"]:
        """Returns the standard deviation of each mean."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    def draw(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count settings"]:
        """Returns so many surfaces that the belief thinks likely."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(self.mean + rng.standard_normal((count, len(self.mean))) @ root.T)


class Model:
    """A model is fitted to looks: `points` of settings (encoding.py), the `blocks` whose episodes they shared, and the
    `accuracies`; `episodes` is how many each took, by which its noise goes down.
    """

    def __init__(
        self,
        points: Float[np.ndarray, "looks columns"],
        blocks: Int[np.ndarray, " looks"],
        accuracies: Float[np.ndarray, " looks"],
        episodes: Int[np.ndarray, " looks"],
    ) -> None:
        self.centre, self.scale = float(accuracies.mean()), float(accuracies.std()) or 1.0
        fewest = episodes.min()
        columns = points.shape[1]
        kernel = (
            ConstantKernel(1.0, (0.05, 20.0)) * _OfPoint(np.full(columns, 0.5), (0.15, 1.5))
            + _OfBlock()
            + WhiteKernel(0.5, (0.05, 3.0))
        )
        looks = np.column_stack([blocks, points])
        targets = (accuracies - self.centre) / self.scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length as long as it may be is no fault
            fitted = GaussianProcessRegressor(kernel, alpha=JITTER).fit(looks, targets)
        found = fitted.kernel_
        self.of_point, self.of_block, noise = found.k1.k1, found.k1.k2, found.k2.noise_level
        # Looks of more episodes than the fewest are less noisy, which only the final solution needs to know.
        self.looks = looks
        covariance = self.of_point(looks) + self.of_block(looks) + np.diag(noise * fewest / episodes + JITTER)
        self.root = np.linalg.cholesky(covariance)
        self.weights = cho_solve((self.root, True), targets)

    def belief(self, points: Float[np.ndarray, "settings columns"]) -> Belief:
        """Returns what is believed of settings, apart from how hard any episodes are."""
        asked = np.column_stack([np.full(len(points), -1.0), points])
        shared = self.of_point(asked, self.looks)
        known = solve_triangular(self.root, shared.T, lower=True)
        covariance = self.of_point(asked) - known.T @ known
        return Belief(self.centre + self.scale * (shared @ self.weights), self.scale**2 * covariance)
