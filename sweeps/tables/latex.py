"""A table is written here as LaTeX, for booktabs."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from pipeline.config import Run
from sweeps.tables.cells import Cell
from sweeps.tables.layout import Block, blocks_of, caption

SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def as_latex(cells: Sequence[Cell], run: Run) -> str:
    """Returns a tabular for booktabs, its blocks one below the other, the caption as a comment above."""
    blocks = blocks_of(cells)
    columns = len(blocks[0].heads)
    lines = [
        "% \\usepackage{booktabs}",
        f"% {caption(cells, run)}",
        rf"\begin{{tabular}}{{l{'r' * columns}}}",
        r"\toprule",
        *_heads(blocks[0]),
    ]
    for block in blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(rf"\multicolumn{{{columns + 1}}}{{l}}{{\textit{{{block.title.translate(SPECIAL)}}}}} \\")
        for line in block.lines:
            label = rf"\quad {line.label}" if line.indented else line.label.translate(SPECIAL)
            lines.append(rf"{label} & {' & '.join(map(_in_latex, line.texts))} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _heads(block: Block) -> Iterator[str]:
    """Yields a line of what columns share, where they share anything, and a line of their names."""
    above, rules, first = [" "], [], 2
    for shared, own in groupby(head for head, _ in block.heads):
        count = len(list(own))
        above += [rf" \multicolumn{{{count}}}{{c}}{{{shared.translate(SPECIAL)}}} "] if shared else [" "] * count
        rules += [rf"\cmidrule(lr){{{first}-{first + count - 1}}}"] if shared else []
        first += count
    if rules:
        yield "&".join(above) + r"\\"
        yield "".join(rules)
    yield rf"solver & {' & '.join(name.translate(SPECIAL) for _, name in block.heads)} \\"


def _in_latex(shown: str) -> str:
    """Returns a text in LaTeX. The mark of a difference takes no room, so that numbers stand below each other."""
    if "±" not in shown:
        return shown.replace("–", "--")
    number = shown.removesuffix("*").replace("±", r"\pm").replace("inf", r"\infty")
    return f"${number}$" + (r"\rlap{$^{*}$}" if shown.endswith("*") else "")
