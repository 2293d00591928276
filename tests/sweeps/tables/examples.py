"""Tables that tests ask for, cells made by hand, and what their captions say."""

from pipeline.config import plain_run
from sweeps.schema.loading import load
from sweeps.statistics.estimates import Estimate
from sweeps.tables.cells import Cell
from tests.sweeps.tiny import CONFIG, TINY

OF_TABLE = "table={shots: [1, 2], episodes: {closed_form: 3, fine_tuned: 2}, solvers: {knn: {}, lora: {}}}"
OF_TWO = "table.datasets={crowded: {}, alone: {distractors: 0}}"
OF_BACKBONES = "table.backbones={trained: {}, random: {weights: false}}"
RUN = plain_run(load(CONFIG, TINY))
SHARED = "Accuracy in %, 3-way, 3 queries a class, split novel"
PAIRED = "difference: paired, with minus without prompts"
CAPTION = f"{SHARED}, vit; {PAIRED}; intervals are 95 %."
# Of two data sets, where two differences were tested.
CAPTION_OF_TWO = (
    f"{SHARED}, vit; {PAIRED}; mean: over the 2 data sets, taken as independent, not tested; intervals are 95 %; "
    "* p < 0.05, paired t test, Holm's correction for the 2 differences of this table."
)


def tiny(*overrides):
    return load(CONFIG, [*TINY, OF_TABLE, *overrides])


def cell(solver, shot, mean, difference=None, episodes=200, dataset="cub", backbone="vit", p=None, p_holm=None):
    estimate = None if mean is None else Estimate(mean, 0.01, episodes)
    prompts, named = difference is not None, f"{solver} {shot}"
    return Cell(backbone, dataset, solver, shot, prompts, episodes, named, estimate, difference, p, p_holm)


CELLS = [
    cell("R2-D2", 1, 0.5, episodes=400),
    cell("my_lora", 1, 0.612),
    cell("my_lora", 1, 0.634, Estimate(0.022, 0.0149, 200)),
    cell("R2-D2", 5, 0.75, episodes=400),
    cell("my_lora", 5, None),
    Cell("vit", "cub", "my_lora", 5, True, 200, "my_lora 5", Estimate(0.8, 0.01, 200), None),
]
TWO = [
    cell("R2-D2", 1, 0.5, episodes=400),
    cell("my_lora", 1, 0.6),
    cell("my_lora", 1, 0.64, Estimate(0.04, 0.012, 200), p=0.001, p_holm=0.001),
    cell("R2-D2", 1, 0.7, episodes=398, dataset="pets & co"),
    cell("my_lora", 1, 0.8, dataset="pets & co"),
    cell("my_lora", 1, 0.82, Estimate(0.02, 0.016, 200), p=0.05, p_holm=0.05, dataset="pets & co"),
    Cell("vit", "mean", "R2-D2", 1, False, 798, None, Estimate(0.6, 0.007, 798), None),
    Cell("vit", "mean", "my_lora", 1, False, 400, None, Estimate(0.7, 0.007, 400), None),
    Cell("vit", "mean", "my_lora", 1, True, 400, None, Estimate(0.73, 0.007, 400), Estimate(0.03, 0.01, 400)),
]
