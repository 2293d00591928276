"""A table in LaTeX, by hand."""

from sweeps.tables.latex import as_latex
from tests.sweeps.tables.examples import CAPTION, CAPTION_OF_TWO, CELLS, RUN, TWO, cell


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


def test_latex_keeps_labels_as_they_are():
    latex = as_latex([cell(r"50% of_a\b~c^d", 1, 0.5)], RUN)
    assert r"50\% of\_a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d & 200" in latex
