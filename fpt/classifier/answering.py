"""Which predictions are answers where a risk is named, and whether what that promises holds for a classifier."""

from collections.abc import Callable, Sequence

from fpt.classifier.calibration import CALIBRATED, Calibration

ANSWERED, UNSURE, NONE_OF_THESE = "yes", "unsure", "none of these"


def answers_at(calibration: Calibration | None, risk: float) -> Callable[[float], str]:
    """Returns what says, of a highest probability, whether it is an answer: ANSWERED, UNSURE or NONE_OF_THESE. Raises
    ValueError where the risk cannot be promised.
    """
    if calibration is None:
        raise ValueError(
            f"--risk must be left out for a classifier without a calibration but got {risk:g}; {CALIBRATED}"
        )
    least, known = calibration.least_for(risk), calibration.known or 0.0

    def said(highest: float) -> str:
        if highest < known:
            return NONE_OF_THESE
        return ANSWERED if highest >= least else UNSURE

    return said


def need_not_hold(calibration: Calibration, images: Sequence[int]) -> str | None:
    """Says why a promise need not hold for a classifier of so many pictures of each class; None where it holds."""
    if calibration.holds_for(images):
        return None
    few, many = min(images), max(images)
    each = f"{few}" if few == many else f"{few} to {many}"
    return (
        f"what --risk promises was shown on {calibration.told}, and need not hold here: {len(images)} classes, "
        f"{each} pictures each"
    )
