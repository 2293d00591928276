from dataclasses import replace

import pytest
from rich.console import Console

from sweeps.statistics.estimates import Estimate
from sweeps.tables.latex import as_latex
from sweeps.tables.layout import as_markdown, as_table
from tests.sweeps.tables.examples import CAPTION, CAPTION_OF_TWO, CELLS, RUN, TWO, cell


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
    text = as_markdown([cell("lora", 1, 0.5), cell("lora", 1, 0.6, Estimate(0.1, 0.02, 9), p=p, p_holm=p)], RUN)
    assert ("+10.0 ± 2.0*" in text) == marked
