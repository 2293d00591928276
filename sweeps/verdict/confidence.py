"""How sure the winner may be of its answers: what was fitted on validation episodes, and how that did on novel ones."""

from dataclasses import dataclass

from fpt.classifier.calibration import Calibration, Promise
from sweeps.statistics.estimates import Estimate
from sweeps.statistics.reliability import Bin


@dataclass(frozen=True)
class Kept:
    """On novel episodes, who answered as a promise says was wrong in a share `wrong` of the answers, and answered a
    share `answered` of all queries.
    """

    promise: Promise
    wrong: Estimate
    answered: Estimate


@dataclass(frozen=True)
class Unknown:
    """Pictures of other classes: `apart` is how probable it is that one has a lower highest probability than a query of
    the same episode (the area under the curve); a share `caught` of them was below the limit, and `mistaken` of the
    queries.
    """

    apart: Estimate
    caught: Estimate
    mistaken: Estimate


@dataclass(frozen=True)
class Confidence:
    """A calibration, and how it did on novel episodes, with intervals over these: calibration `error` and log `loss`
    before and after; the share of queries whose set `covered` the true class (`covered_elsewhere` has the interval for
    other classes of their kind), how many classes a set has (`size`), and the shares of sets with 0, 1, 2 ... classes;
    each promise as it was `kept`; and what became of pictures of other classes, None where there are none. `bins` are
    those of probabilities before and after.
    """

    calibration: Calibration
    error: tuple[Estimate, Estimate]
    loss: tuple[Estimate, Estimate]
    covered: Estimate
    covered_elsewhere: Estimate
    size: Estimate
    sizes: tuple[float, ...]
    kept: tuple[Kept, ...]
    bins: tuple[tuple[Bin, ...], tuple[Bin, ...]]
    unknown: Unknown | None

    def kept_at(self, risk: float) -> Kept | None:
        """Returns the boldest promise of a risk, None where there is none so low."""
        return next((one for one in reversed(self.kept) if one.promise.risk <= risk), None)
