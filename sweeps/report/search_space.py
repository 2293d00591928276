"""The section on the search space: which hyper-parameters matter, and where in it good settings lie."""

from collections.abc import Mapping, Sequence

from sweeps.report import markdown
from sweeps.search.record import LEAST_TRIALS
from sweeps.verdict.landscape import Scored, kinds, slices

WITH_IMPORTANCE = (
    "Importance: a parameter's share in what each alone explains of the variance of being among the best quarter, over "
    "all settings, of which most lie where good ones are; one without effect has some by chance, more if trials are "
    "few. Of trials that did not race it is what the model of all looks expects."
)
WITHOUT_IMPORTANCE = (
    f"Importance cannot be told: that takes {LEAST_TRIALS} trials with a score, and scores that differ."
)
WITH_SLICES = "Means in % (95 %, over trials) are over the other hyper-parameters, which are not tuned for a slice."


def as_markdown(trials: Sequence[Scored], importances: Mapping[str, float] | None) -> list[str]:
    """Returns the section: importances, then slices of each hyper-parameter, the most important first."""
    shares, lines = importances or {}, ["## Search space", ""]
    if shares:
        lines += [*markdown.table(("parameter", "importance"), [(name, f"{shares[name]:.2f}") for name in shares]), ""]
    lines += [WITH_IMPORTANCE if shares else WITHOUT_IMPORTANCE, "", WITH_SLICES]
    for name in sorted(kinds(trials), key=lambda name: -shares.get(name, 0)):
        told = slices(trials, name)
        rows = [(one.label, one.trials, str(one.mean).removesuffix(" ± inf"), f"{100 * one.best:.1f}") for one in told]
        lines += ["", *markdown.table((name, "trials", "mean", "best"), rows)]
    return lines
