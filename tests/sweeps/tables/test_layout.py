import json
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.config import plain_run
from sweeps.schema.loading import load
from sweeps.statistics.estimates import Estimate
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import FIELDS, Cell, as_markdown, as_records, as_table
from tests.sweeps.tiny import CONFIG, TINY

RUN = plain_run(load(CONFIG, TINY))
SHARED = "Accuracy in %, 3-way, 3 queries a class, split novel"
PAIRED = "difference: paired, with minus without prompts"
CAPTION = f"{SHARED}, vit; {PAIRED}; intervals are 95 %."
# Of two data sets, where two differences were tested.
CAPTION_OF_TWO = (
    f"{SHARED}, vit; {PAIRED}; mean: over the 2 data sets, taken as independent, not tested; intervals are 95 %; "
    "* p < 0.05, paired t test, Holm's correction for the 2 differences of this table."
)


def cell(solver, shot, mean, difference=None, episodes=200, dataset="cub", backbone="vit", p=None):
    estimate = None if mean is None else Estimate(mean, 0.01, episodes)
    prompts, named = difference is not None, f"{solver} {shot}"
    return Cell(backbone, dataset, solver, shot, prompts, episodes, named, estimate, difference, p, p)


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
    cell("my_lora", 1, 0.64, Estimate(0.04, 0.012, 200), p=0.001),
    cell("R2-D2", 1, 0.7, episodes=398, dataset="pets & co"),
    cell("my_lora", 1, 0.8, dataset="pets & co"),
    cell("my_lora", 1, 0.82, Estimate(0.02, 0.016, 200), p=0.05, dataset="pets & co"),
    Cell("vit", "mean", "R2-D2", 1, False, 798, None, Estimate(0.6, 0.007, 798), None),
    Cell("vit", "mean", "my_lora", 1, False, 400, None, Estimate(0.7, 0.007, 400), None),
    Cell("vit", "mean", "my_lora", 1, True, 400, None, Estimate(0.73, 0.007, 400), Estimate(0.03, 0.01, 400)),
]


def on_terminal(cells):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(as_table(cells, RUN))
    shown = console.export_text()
    console.file.close()
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "…" not in shown
    return shown


def columns_of(line):
    return [text.strip() for text in line.replace("┃", "│").strip("│").split("│")]


def test_markdown_by_hand():
    assert as_markdown(CELLS, RUN) == "\n".join(
        [
            "| solver | episodes | 1-shot, without | 1-shot, with prompts | 1-shot, difference "
            "| 5-shot, without | 5-shot, with prompts | 5-shot, difference |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            "| R2-D2 | 400 | 50.0 ± 1.0 |  |  | 75.0 ± 1.0 |  |  |",
            "| my_lora | 200 | 61.2 ± 1.0 | 63.4 ± 1.0 | +2.2 ± 1.5 | failed | 80.0 ± 1.0 |  |",
            "",
            f"{CAPTION}\n",
        ]
    )


def test_latex_by_hand():
    assert as_latex(CELLS, RUN).splitlines() == [
        r"% \usepackage{booktabs}",
        f"% {CAPTION}",
        r"\begin{tabular}{lrrrrrrr}",
        r"\toprule",
        r" & & \multicolumn{3}{c}{1-shot} & \multicolumn{3}{c}{5-shot} \\",
        r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}",
        r"solver & episodes & without & with prompts & difference & without & with prompts & difference \\",
        r"\midrule",
        r"R2-D2 & 400 & $50.0 \pm 1.0$ &  &  & $75.0 \pm 1.0$ &  &  \\",
        r"my\_lora & 200 & $61.2 \pm 1.0$ & $63.4 \pm 1.0$ & $+2.2 \pm 1.5$ & failed & $80.0 \pm 1.0$ &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_the_terminal_has_shots_one_below_the_other():
    lines = on_terminal(CELLS).splitlines()
    assert " ".join(line.strip() for line in lines[:3]).startswith(CAPTION)
    assert [columns_of(line) for line in lines if line.startswith(("│", "┃"))] == [
        ["solver", "shots", "episodes", "without", "with prompts", "difference"],
        ["R2-D2", "1", "400", "50.0 ± 1.0", "", ""],
        ["my_lora", "1", "200", "61.2 ± 1.0", "63.4 ± 1.0", "+2.2 ± 1.5"],
        ["R2-D2", "5", "400", "75.0 ± 1.0", "", ""],
        ["my_lora", "5", "200", "failed", "80.0 ± 1.0", ""],
    ]
    assert sum(line.startswith("├") for line in lines) == 1


def test_data_sets_side_by_side_in_markdown():
    assert as_markdown(TWO, RUN) == "\n".join(
        [
            "**1-shot**",
            "",
            "| solver | episodes | cub | pets & co | mean |",
            "| --- | ---: | ---: | ---: | ---: |",
            "| R2-D2 | 398–400 | 50.0 ± 1.0 | 70.0 ± 1.0 | 60.0 ± 0.7 |",
            "| my_lora | 200 | 60.0 ± 1.0 | 80.0 ± 1.0 | 70.0 ± 0.7 |",
            "| + prompts |  | 64.0 ± 1.0 | 82.0 ± 1.0 | 73.0 ± 0.7 |",
            "| difference |  | +4.0 ± 1.2* | +2.0 ± 1.6 | +3.0 ± 1.0 |",
            "",
            f"{CAPTION_OF_TWO}\n",
        ]
    )


def test_data_sets_side_by_side_in_latex():
    assert as_latex(TWO, RUN).splitlines() == [
        r"% \usepackage{booktabs}",
        f"% {CAPTION_OF_TWO}",
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r"solver & episodes & cub & pets \& co & mean \\",
        r"\midrule",
        r"\multicolumn{5}{l}{\textit{1-shot}} \\",
        r"R2-D2 & 398--400 & $50.0 \pm 1.0$ & $70.0 \pm 1.0$ & $60.0 \pm 0.7$ \\",
        r"my\_lora & 200 & $60.0 \pm 1.0$ & $80.0 \pm 1.0$ & $70.0 \pm 0.7$ \\",
        r"\quad + prompts &  & $64.0 \pm 1.0$ & $82.0 \pm 1.0$ & $73.0 \pm 0.7$ \\",
        r"\quad difference &  & $+4.0 \pm 1.2$\rlap{$^{*}$} & $+2.0 \pm 1.6$ & $+3.0 \pm 1.0$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_data_sets_side_by_side_on_the_terminal():
    lines = on_terminal(TWO).splitlines()
    assert " ".join(line.strip() for line in lines[:3]) == CAPTION_OF_TWO
    assert lines[3].strip() == "1-shot"
    assert [columns_of(line) for line in lines if line.startswith(("│", "┃"))] == [
        ["solver", "episodes", "cub", "pets & co", "mean"],
        ["R2-D2", "398–400", "50.0 ± 1.0", "70.0 ± 1.0", "60.0 ± 0.7"],
        ["my_lora", "200", "60.0 ± 1.0", "80.0 ± 1.0", "70.0 ± 0.7"],
        ["+ prompts", "", "64.0 ± 1.0", "82.0 ± 1.0", "73.0 ± 0.7"],
        ["difference", "", "+4.0 ± 1.2*", "+2.0 ± 1.6", "+3.0 ± 1.0"],
    ]


def test_each_backbone_and_shot_has_a_block():
    backbones, shots = ("ViT", "Swin [tiny]"), (1, 5)
    cells = [replace(one, backbone=backbone, shot=shot) for backbone in backbones for shot in shots for one in TWO]
    titles = ["ViT, 1-shot", "ViT, 5-shot", "Swin [tiny], 1-shot", "Swin [tiny], 5-shot"]
    assert [line for line in as_markdown(cells, RUN).splitlines() if line.startswith("**")] == [
        f"**{title}**" for title in titles
    ]
    latex = as_latex(cells, RUN)
    assert [line for line in latex.splitlines() if "textit" in line] == [
        rf"\multicolumn{{5}}{{l}}{{\textit{{{title}}}}} \\" for title in titles
    ]
    assert (latex.count(r"\midrule"), latex.count("solver & "), latex.count("tabular")) == (4, 1, 2)
    shown = [line.strip() for line in on_terminal(cells).splitlines()]
    assert [line for line in shown if line in titles] == titles
    assert "novel; difference" in " ".join(shown)  # titles name the backbones


def test_each_backbone_of_one_data_set_has_a_block_of_its_shots():
    cells = [replace(one, backbone=backbone) for backbone in ("ViT", "Swin") for one in CELLS]
    text = as_markdown(cells, RUN)
    assert text.count("| R2-D2 | 400 | 50.0 ± 1.0 |  |  | 75.0 ± 1.0 |  |  |") == 2
    assert text.index("**ViT**") < text.index("**Swin**")
    assert as_latex(cells, RUN).count(r"\multicolumn{8}{l}{\textit{") == 2  # solver, episodes, 2 x 3
    assert on_terminal(cells).count("my_lora") == 4


def test_data_sets_that_have_no_room_on_the_terminal_come_below():
    datasets = ["cub", "cars", "places", "plantae", "aircraft", "a label of many words, some of them long"]
    cells = [replace(one, dataset=dataset) for dataset in datasets for one in TWO[:3]]
    rows = [columns_of(line) for line in on_terminal(cells).splitlines() if line.startswith(("│", "┃"))]
    heads = [row for row in rows if row[0] == "solver"]
    assert [name for head in heads for name in head[2:]] == datasets
    assert len(heads) > 1
    assert all(head[1] == "episodes" for head in heads)
    assert [row[:2] for row in rows if row[0] == "R2-D2"] == [["R2-D2", "400"]] * len(heads)


def test_the_caption_counts_what_was_tested():
    single = as_markdown(TWO[:3], RUN).splitlines()[-1]
    assert single == f"{CAPTION[:-1]}; * p < 0.05, paired t test."


@pytest.mark.parametrize(("p", "marked"), [(0.0499, True), (0.05, False), (None, False)])
def test_a_difference_is_marked_below_five_percent(p, marked):
    text = as_markdown([cell("lora", 1, 0.5), cell("lora", 1, 0.6, Estimate(0.1, 0.02, 9), p=p)], RUN)
    assert ("+10.0 ± 2.0*" in text) == marked


def test_latex_keeps_labels_as_they_are():
    latex = as_latex([cell(r"50% of_a\b~c^d", 1, 0.5)], RUN)
    assert r"50\% of\_a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d & 200" in latex


def test_records_hold_every_field():
    record = as_records(TWO)[2]
    assert tuple(record) == FIELDS
    of_cell = ["vit", "cub", "my_lora", 1, True, 200, 0.64, 0.01]
    assert list(record.values()) == [*of_cell, 0.04, 0.012, 0.001, 0.001, "my_lora 1"]


def test_records_are_json_whatever_the_numbers():
    lone = Cell("vit", "cub", "lora", 1, True, 1, "a", Estimate(1.0, float("inf"), 1), Estimate(0.0, float("inf"), 1))
    (record,) = json.loads(json.dumps(as_records([lone]), allow_nan=False))
    assert (record["ci95"], record["difference"], record["difference_ci95"]) == (None, 0.0, None)
    assert (record["p_value"], record["p_holm"]) == (None, None)
