"""How sure the winner may be, as a picture: probabilities, risks and sets."""

from typing import Any

import numpy as np

from sweeps.report.charts.style import BLUE, GREEN, GREY, PALE, VERMILION, in_style, new_figure
from sweeps.verdict.confidence import Confidence, Kept

DRAWN = 0.001  # share of all queries, below which a bin's few say nothing


@in_style
def confidence_figure(confidence: Confidence) -> Any:
    """Draws the share of right answers over their probability, before and after; the share of wrong answers over that
    of queries answered, as promised and as kept; and how many classes a set has.
    """
    figure = new_figure(10.5, 3.9)
    probable, risky, sets = figure.subplots(1, 3)
    _draw_probabilities(probable, confidence)
    _draw_risks(risky, confidence.kept)
    _draw_sets(sets, confidence)
    for axis in (probable, risky, sets):
        axis.grid(color=PALE, linewidth=0.5)
        axis.set_axisbelow(True)
    for axis in (probable, risky):
        handles, names = axis.get_legend_handles_labels()
        axis.legend(handles, names, loc="upper left")
    return figure


def _draw_probabilities(axis: Any, confidence: Confidence) -> None:
    axis.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    looks = (("as they are", VERMILION, "v"), ("calibrated", BLUE, "o"))
    for (name, colour, marker), bins in zip(looks, confidence.bins, strict=True):
        drawn = [one for one in bins if one.share >= DRAWN]
        at = ([100 * one.probability for one in drawn], [100 * one.right for one in drawn])
        axis.plot(*at, color=colour, linewidth=1, label=name)
        sizes = [10 + 200 * one.share for one in drawn]
        axis.scatter(*at, s=sizes, color=colour, marker=marker, alpha=0.7, zorder=3)
    axis.set(xlabel="highest probability %", ylabel="right %", title="Probabilities", xlim=(0, 100), ylim=(0, 102))


def _draw_risks(axis: Any, kept: tuple[Kept, ...]) -> None:
    answered = np.array([100 * one.answered.mean for one in kept])
    wrong = np.array([100 * one.wrong.mean for one in kept])
    half = np.array([100 * one.wrong.ci95 for one in kept])
    half = np.where(np.isfinite(half), half, 0)
    promised = [100 * one.promise.risk for one in kept]
    axis.plot(answered, promised, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)), label="promised, at most")
    axis.fill_between(answered, np.maximum(wrong - half, 0), wrong + half, color=GREEN, alpha=0.25, linewidth=0)
    axis.plot(answered, wrong, color=GREEN, linewidth=1.6, marker=".", markersize=4, label="unseen episodes, 95 %")
    axis.set(xlabel="answered %", ylabel="wrong among answers %", title="Risk against coverage", xlim=(0, 102))
    axis.set_ylim(0, 1.35 * max([*promised, *(wrong + half), 1.0]))


def _draw_sets(axis: Any, confidence: Confidence) -> None:
    most = max(size for size, share in enumerate(confidence.sizes) if share > 0)
    axis.bar(range(most + 1), [100 * share for share in confidence.sizes[: most + 1]], color=BLUE, width=0.8)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel="classes of a set", ylabel="queries %", title=f"Sets with {confidence.covered} % of the true ones")
