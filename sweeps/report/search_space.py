"""The section on the search space: which hyper-parameters matter, and where in it good settings lie."""

from collections.abc import Mapping, Sequence

from sweeps.report import markdown
from sweeps.search.record import LEAST_TRIALS
from sweeps.verdict.landscape import LEAST_OF_SLICE, LEAST_TO_SLICE, Scored, kinds, slices, told_by_slices

WITH_IMPORTANCE = (
    "Importance: a parameter's share in what each alone explains of the variance of being among the best quarter, over "
    "all settings, of which most lie where good ones are; one without effect has some by chance, more if trials are "
    "few. Of trials that did not race it is what the model of all looks expects."
)
WITHOUT_IMPORTANCE = (
    f"Importance cannot be told: that takes {LEAST_TRIALS} trials with a score, and scores that differ."
)
WITH_SLICES = (
    "Means in % (95 %, over trials; none of fewer than "
    f"{LEAST_OF_SLICE}) are over the other hyper-parameters, which are not tuned for a slice."
)


def as_markdown(trials: Sequence[Scored], importances: Mapping[str, float] | None) -> list[str]:
    """Returns the section: importances, the largest first, then slices of each hyper-parameter."""
    shares, lines = importances or {}, ["## Search space", ""]
    if shares:
        lines += [*markdown.table(("parameter", "importance"), [(name, f"{shares[name]:.2f}") for name in shares]), ""]
    lines += [WITH_IMPORTANCE if shares else WITHOUT_IMPORTANCE, "", with_slices(trials)]
    for name in told_by_slices(trials):
        rows = [one.cells() for one in slices(trials, name)]
        lines += ["", *markdown.table((name, "trials", "mean", "best"), rows)]
    return lines


def with_slices(trials: Sequence[Scored]) -> str:
    """Says what slices tell, and which hyper-parameters have none as too few trials have them."""
    told = told_by_slices(trials)
    untold = [name for name in kinds(trials) if name not in told]
    if not untold:
        return WITH_SLICES
    least = f"that takes {LEAST_TO_SLICE} trials with a score that have it"
    without = f"Accuracy over {', '.join(untold)} cannot be told: {least}."
    return f"{WITH_SLICES} {without}" if told else without
