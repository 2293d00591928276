"""What looks at settings have told so far: a Gaussian process that knows what they share and how noisy they are.

A look is the mean accuracy of a setting on a few episodes, which all looks of its generation (`block`) share. With
`m_d` = exp(-(difference in column d / its length)^2 / 2), two looks at settings covary by

    main * mean over d of m_d  +  joint * product of all m_d  +  same block: (block + liking * product of all m_d)

and a look at n episodes has noise / n of its own. `main` is what a hyper-parameter does whatever the others are, which
few looks tell; `joint` is what they do together; `block` is how hard the episodes of a generation are, which all its
looks share, so that settings of different generations are compared by what is their own; `liking` is what those
episodes like, which near settings share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from threadpoolctl import ThreadpoolController

Function = TypeVar("Function", bound=Callable[..., Any])


def one_thread(function: Function) -> Function:
    """Makes a function count on one thread: more would take cores from workers, and sums in another order would make
    other proposals.
    """
    return cast(Function, ThreadpoolController().wrap(limits=1)(function))


JITTER = 1e-6
MOST_FITTED = 320  # looks that tell what the kernel weighs, spread evenly; what is believed follows from all
# What is believed of each before any look, as the median of a log-normal distribution, in variances of looks, and the
# standard deviation of the logarithm: most of what one look says is noise.
BEFORE = {
    "main": (0.15, 1.0),
    "joint": (0.15, 1.0),
    "block": (0.3, 1.5),
    "liking": (0.05, 1.0),
    "noise": (0.5, 1.0),
    "length": (0.4, 0.5),  # of a column that goes from 0 to 1
}
WEIGHTS = ("main", "joint", "block", "liking", "noise")


class LookKernel(Kernel):  # type: ignore[misc]
    """The covariance of looks, whose columns are the block, how many episodes, and those of the setting."""

    def __init__(self, main: float, joint: float, block: float, liking: float, noise: float, length: Any) -> None:
        self.main, self.joint, self.block, self.liking, self.noise = main, joint, block, liking, noise
        self.length = length

    def _hyperparameter(self, name: str, count: int = 1) -> Hyperparameter:
        median, spread = BEFORE[name]
        return Hyperparameter(name, "numeric", (median * np.exp(-4 * spread), median * np.exp(4 * spread)), count)

    hyperparameter_main = property(lambda self: self._hyperparameter("main"))
    hyperparameter_joint = property(lambda self: self._hyperparameter("joint"))
    hyperparameter_block = property(lambda self: self._hyperparameter("block"))
    hyperparameter_liking = property(lambda self: self._hyperparameter("liking"))
    hyperparameter_noise = property(lambda self: self._hyperparameter("noise"))
    hyperparameter_length = property(lambda self: self._hyperparameter("length", np.size(self.length)))

    def __call__(self, X: np.ndarray, Y: np.ndarray | None = None, eval_gradient: bool = False) -> Any:
        other = X if Y is None else Y
        apart = self._apart(X, other)
        each = [np.exp(-one / 2) for one in apart]
        mean, product = _mean_and_product(each)
        same = (X[:, :1] == other[:, 0]).astype(float)
        own = np.diag(1 / X[:, 1]) if Y is None else np.zeros_like(mean)
        together = (self.joint + self.liking * same) * product
        found = self.main * mean + together + self.block * same + self.noise * own
        if not eval_gradient:
            return found
        # By the logarithm of each, in the order of their names.
        share = self.main / len(each)
        by_length = [(share * likeness + together) * one for likeness, one in zip(each, apart, strict=True)]
        parts = [self.block * same, self.joint * product, *by_length, self.liking * same * product]
        return found, np.stack([*parts, self.main * mean, self.noise * own], axis=-1)

    def of_setting(self, X: np.ndarray, Y: np.ndarray) -> Any:
        """Returns the covariance of what is the settings' own with looks, or with what is other settings' own."""
        mean, product = _mean_and_product([np.exp(-one / 2) for one in self._apart(X, Y)])
        return self.main * mean + self.joint * product

    def _apart(self, X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        """Returns the squared differences in each column of settings, in its lengths: column by column is fastest."""
        length = np.reshape(self.length, (-1, 1))  # scikit-learn makes a number of a single one
        columns = zip(X[:, 2:].T / length, Y[:, 2:].T / length, strict=True)
        return [np.square(ours[:, None] - theirs) for ours, theirs in columns]

    def diag(self, X: np.ndarray) -> np.ndarray:
        return self.main + self.joint + self.block + self.liking + self.noise / X[:, 1]

    def is_stationary(self) -> bool:
        return False


def _mean_and_product(each: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    mean, product = each[0].copy(), each[0].copy()
    for one in each[1:]:
        mean += one
        product *= one
    return mean / len(each), product


@dataclass(frozen=True)
class Belief:
    """A belief is what is known of settings: the expected accuracy of each, and how that may be wrong together."""

    mean: Float[np.ndarray, " settings"]
    covariance: Float[np.ndarray, "settings settings"]

    @property
    def spread(self) -> Float[np.ndarray, " settings"]:
        """Returns the standard deviation of each mean."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0.0)))

    @one_thread
    def draw(self, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count settings"]:
        """Returns so many surfaces that the belief thinks likely."""
        noise = JITTER * float(np.diag(self.covariance).mean())  # of rounding: equal settings are equally good
        root = np.linalg.cholesky(self.covariance + max(noise, 1e-12) * np.eye(len(self.mean)))
        return np.asarray(self.mean + rng.standard_normal((count, len(self.mean))) @ root.T)


class Model:
    """A model is fitted to looks: `points` of settings (encoding.py), the `blocks` whose episodes they shared, and the
    `accuracies`; `episodes` is how many each took, by which its noise goes down.

    What the kernel weighs is found by maximum a posteriori (BEFORE), beginning at what an earlier model found; with
    `fitted` it is left as that had it.
    """

    @one_thread
    def __init__(
        self,
        points: Float[np.ndarray, "looks columns"],
        blocks: Int[np.ndarray, " looks"],
        accuracies: Float[np.ndarray, " looks"],
        episodes: Int[np.ndarray, " looks"],
        earlier: LookKernel | None = None,
        fitted: bool = False,
    ) -> None:
        self.centre, self.scale = float(accuracies.mean()), float(accuracies.std()) or 1.0
        medians = {name: BEFORE[name][0] for name in WEIGHTS}
        kernel = earlier or LookKernel(**medians, length=np.full(points.shape[1], BEFORE["length"][0]))
        self.looks = np.column_stack([blocks, episodes, points])
        targets = (accuracies - self.centre) / self.scale
        if not (earlier and fitted):
            some = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), MOST_FITTED)).astype(int))
            process = GaussianProcessRegressor(kernel, alpha=JITTER, optimizer=_likeliest)
            kernel = process.fit(self.looks[some], targets[some]).kernel_
        self.kernel: LookKernel = kernel
        self.fitted_to = len(targets)  # looks
        self.root = np.linalg.cholesky(kernel(self.looks) + JITTER * np.eye(len(targets)))
        self.weights = cho_solve((self.root, True), targets)

    @one_thread
    def each(self, points: Float[np.ndarray, "settings columns"]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the expected accuracy of each setting and its standard deviation, as `belief` has them."""
        shared = self.kernel.of_setting(_asked(points), self.looks)
        known = solve_triangular(self.root, shared.T, lower=True)
        variance = self.kernel.main + self.kernel.joint - np.square(known).sum(0)
        return self.centre + self.scale * (shared @ self.weights), self.scale * np.sqrt(np.maximum(variance, 0.0))

    @one_thread
    def belief(self, points: Float[np.ndarray, "settings columns"]) -> Belief:
        """Returns what is believed of settings, apart from how hard any episodes are and what they like."""
        asked = _asked(points)
        shared = self.kernel.of_setting(asked, self.looks)
        known = solve_triangular(self.root, shared.T, lower=True)
        covariance = self.kernel.of_setting(asked, asked) - known.T @ known
        return Belief(self.centre + self.scale * (shared @ self.weights), self.scale**2 * covariance)


def _asked(points: np.ndarray) -> np.ndarray:
    """Returns settings as looks of no block."""
    return np.column_stack([np.full(len(points), -1.0), np.ones(len(points)), points])


def _likeliest(unlikely: Any, start: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns where the likelihood times what was believed before is highest, as scikit-learn asks its optimizers."""
    middle = (bounds[:, 0] + bounds[:, 1]) / 2  # of logarithms: the median
    spread = (bounds[:, 1] - bounds[:, 0]) / 8

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = unlikely(theta)
        away = (theta - middle) / spread
        return value + float(away @ away) / 2, gradient + away / spread

    found = minimize(objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 50})
    # A little within the bounds, at which scikit-learn would warn of them.
    return np.clip(found.x, bounds[:, 0] + 1e-3, bounds[:, 1] - 1e-3), float(found.fun)
