"""What can be said of a mean when all that is known of the values is how far they can go.

A gambler stakes a share of his capital, at fair odds, on each value being above a claimed mean. If the mean is no
higher than claimed he cannot expect to gain, and his capital ever reaches 1 / p with probability p at most (Ville
1939): whatever the distribution, however skewed, at any time. This is testing by betting: Shafer, Journal of the Royal
Statistical Society A 2021; Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 2024
(arXiv:2010.09686).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

# Of what the worst value could take: half of the capital stakes all, a quarter half, and so on. Leads that are worth a
# stop are large beside their variance, so the highest stake nearly always gains most.
STAKES = 0.5 ** np.arange(6)
SHARES = STAKES / STAKES.sum()


def log_capital(
    differences: Float[np.ndarray, "*sequences values"], claimed: float = 0.0, least: float = -1.0
) -> Float[np.ndarray, "*sequences"]:
    """Returns the logarithm of the capital, which began as 1, after bets that the mean of values, none of which is
    below `least`, is above `claimed`. The order of the values does not matter.

    Raises ValueError for a value below `least`, and for a claim that is not above it.
    """
    if not least < claimed:
        raise ValueError(f"claimed must be above {least:g} but got {claimed:g}")
    if differences.size and differences.min() < least:
        raise ValueError(f"values must be at least {least:g} but got {differences.min():g}")
    gains = (differences - claimed)[..., None, :] * (STAKES / (claimed - least))[:, None]
    with np.errstate(divide="ignore"):  # a stake of all may be lost
        grown = np.log1p(np.maximum(gains, -1.0)).sum(-1)
    return np.asarray(np.logaddexp.reduce(grown + np.log(SHARES), axis=-1))


def bounds(differences: Sequence[float], level: float = 0.05) -> tuple[float, float]:
    """Returns limits of the mean of values between -1 and 1 that are wrong with probability `level` at most, whatever
    their distribution, and however often one looks while values come.

    Raises ValueError for a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1 but got {level:g}")
    values = np.asarray(differences, float)
    return _lowest(values, level / 2), -_lowest(-values, level / 2)


def _lowest(values: Float[np.ndarray, " values"], level: float) -> float:
    """Returns the lowest mean that bets that it is higher do not refute."""

    def refuted(claimed: float) -> float:
        return float(log_capital(values, claimed) + np.log(level))

    low, high = -1 + 1e-9, float(values.mean()) if len(values) else -1.0
    if high <= low or refuted(low) <= 0:
        return -1.0
    return float(brentq(refuted, low, high, xtol=1e-9))
