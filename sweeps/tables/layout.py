"""A table's cells are laid out here in blocks of lines, for paper and for the terminal. latex.py writes LaTeX."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.config import Run
from sweeps.report import markdown
from sweeps.schema.lines import in_markdown, on_a_line
from sweeps.schema.table import MEAN
from sweeps.statistics.estimates import SIGNIFICANCE
from sweeps.tables.cells import Cell, values_of

OF_A_SHOT = ("without", "with prompts", "difference")
BELOW = ("+ prompts", "difference")  # a solver's lines where data sets are side by side
WIDTH = 100  # of the terminal, in characters
BETWEEN = 3  # of them between two columns


class Line(NamedTuple):
    """A line of a block has a text for each column; it is indented where it is not a solver's first."""

    label: str
    indented: bool
    texts: tuple[str, ...]


class Block(NamedTuple):
    """A block is what stands under a title, which is empty where there is no other block. A column's head is what it
    shares with its neighbours, or nothing, and its name.
    """

    title: str
    heads: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]


def caption(cells: Sequence[Cell], run: Run) -> str:
    """Returns what all cells share, and what the signs mean."""
    episodes, backbones, datasets = run.episodes, values_of(cells, "backbone"), values_of(cells, "dataset")
    tested = sum(cell.p_holm is not None for cell in cells)
    corrected = f", Holm's correction for the {tested} differences of this table" if tested > 1 else ""
    parts = [
        f"Accuracy in %, {episodes.way}-way, {episodes.queries}, split {episodes.split}"
        + (f", {backbones[0]}" if len(backbones) == 1 else ""),
        "difference: paired, with minus without prompts",
        *(
            [f"{MEAN}: over the {len(datasets) - 1} data sets, taken as independent, not tested"]
            if MEAN in datasets
            else []
        ),
        "intervals are 95 %",
        *([f"* p < {SIGNIFICANCE:g}, paired t test{corrected}"] if tested else []),
    ]
    return on_a_line(f"{'; '.join(parts)}.")


def blocks_of(cells: Sequence[Cell]) -> list[Block]:
    """Returns the blocks for paper: a single data set has its shots side by side, in a block for each backbone; several
    are side by side themselves, in a block for each backbone and shot.
    """
    if len(values_of(cells, "dataset")) == 1:
        return [_shots_beside(own, backbone) for backbone, own in _of_backbones(cells)]
    return [
        _datasets_beside(
            [cell for cell in own if cell.shot == shot], ", ".join(filter(None, (backbone, f"{shot}-shot")))
        )
        for backbone, own in _of_backbones(cells)
        for shot in values_of(own, "shot")
    ]


def _of_backbones(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Returns the backbones with their cells; a backbone that is alone is not named."""
    backbones = values_of(cells, "backbone")
    return [
        (backbone if len(backbones) > 1 else "", [cell for cell in cells if cell.backbone == backbone])
        for backbone in backbones
    ]


def _shots_beside(cells: Sequence[Cell], title: str) -> Block:
    shots = values_of(cells, "shot")
    heads = [("", "episodes"), *((f"{shot}-shot", part) for shot in shots for part in OF_A_SHOT)]
    lines = []
    for solver in values_of(cells, "solver"):
        own = [cell for cell in cells if cell.solver == solver]
        texts = [text for shot in shots for text in _parts([cell for cell in own if cell.shot == shot])]
        lines.append(Line(on_a_line(solver), False, (_episodes(own), *texts)))
    return Block(on_a_line(title), tuple(heads), tuple(lines))


def _datasets_beside(cells: Sequence[Cell], title: str) -> Block:
    datasets = values_of(cells, "dataset")
    lines = []
    for solver in values_of(cells, "solver"):
        own = [cell for cell in cells if cell.solver == solver]
        columns = [_parts([cell for cell in own if cell.dataset == dataset]) for dataset in datasets]
        without, *below = zip(*columns, strict=True)
        lines.append(Line(on_a_line(solver), False, (_episodes(own), *without)))
        lines += [Line(name, True, ("", *texts)) for name, texts in zip(BELOW, below, strict=True) if any(texts)]
    return Block(
        on_a_line(title), (("", "episodes"), *(("", on_a_line(dataset)) for dataset in datasets)), tuple(lines)
    )


def _parts(cells: Sequence[Cell]) -> tuple[str, str, str]:
    """Returns the texts of a solver's cells in one place: without prompts, with them, difference; empty where there is
    no such cell.
    """
    own = {cell.prompts: cell for cell in cells}
    without, prompted = (_shown(own[prompts]) if prompts in own else "" for prompts in (False, True))
    return without, prompted, _gain(own[True]) if True in own else ""


def _shown(cell: Cell) -> str:
    return "failed" if cell.estimate is None else str(cell.estimate)


def _gain(cell: Cell) -> str:
    if cell.difference is None:
        return ""
    sure = cell.p_holm is not None and cell.p_holm < SIGNIFICANCE
    return f"{100 * cell.difference.mean:+.1f} ± {100 * cell.difference.ci95:.1f}{'*' if sure else ''}"


def _episodes(cells: Sequence[Cell]) -> str:
    """Returns how many episodes a cell has; where some cells lost a few, the fewest and the most."""
    counts = [cell.episodes for cell in cells if cell.dataset != MEAN]
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"


def as_markdown(cells: Sequence[Cell], run: Run) -> str:
    """Returns a Markdown table for each block, the caption below."""
    texts = []
    for title, heads, lines in blocks_of(cells):
        columns = ["solver", *(", ".join(filter(None, head)) for head in heads)]
        told = "\n".join(markdown.table(columns, [(label, *own) for label, _, own in lines]))
        texts.append(f"**{in_markdown(title)}**\n\n{told}" if title else told)
    return "\n\n".join([*texts, in_markdown(caption(cells, run))]) + "\n"


def as_table(cells: Sequence[Cell], run: Run) -> RenderableType:
    """Returns what rich prints, at most WIDTH characters wide: the shots of a single data set are one below the other;
    of several data sets, those that have no room beside the others are.
    """
    if len(values_of(cells, "dataset")) == 1:
        tables = [_drawn(_shots_below(own, backbone)) for backbone, own in _of_backbones(cells)]
    else:
        tables = [_drawn([part]) for block in blocks_of(cells) for part in _fitting(block)]
    if len(tables) == 1 and tables[0].title is None:
        tables[0].title = escape(caption(cells, run))
        return tables[0]
    return Group(Text(caption(cells, run)), *tables)


def _shots_below(cells: Sequence[Cell], title: str) -> list[Block]:
    """Returns a block for each shot."""
    heads = tuple(("", name) for name in ("shots", "episodes", *OF_A_SHOT))
    blocks = []
    for shot in values_of(cells, "shot"):
        at_shot = [cell for cell in cells if cell.shot == shot]
        lines = []
        for solver in values_of(at_shot, "solver"):
            own = [cell for cell in at_shot if cell.solver == solver]
            lines.append(Line(on_a_line(solver), False, (str(shot), _episodes(own), *_parts(own))))
        blocks.append(Block(on_a_line(title), heads, tuple(lines)))
    return blocks


def _fitting(block: Block) -> Iterator[Block]:
    """Yields the block, or its columns in as many blocks as it takes for none to be wider than WIDTH; each of these has
    the episodes.
    """
    total = max(len(_indented(line)) for line in block.lines) + len(block.heads[0][1]) + 2 * BETWEEN + 1
    left = list(range(1, len(block.heads)))
    while left:
        taken, room = [0], WIDTH - total
        while left and ((wide := _width(block, left[0])) <= room or len(taken) == 1):
            taken.append(left.pop(0))
            room -= wide
        lines = [line._replace(texts=tuple(line.texts[column] for column in taken)) for line in block.lines]
        yield Block(block.title, tuple(block.heads[column] for column in taken), tuple(lines))


def _width(block: Block, column: int) -> int:
    return max(len(block.heads[column][1]), *(len(line.texts[column]) for line in block.lines)) + BETWEEN


def _indented(line: Line) -> str:
    return f"  {line.label}" if line.indented else line.label


def _drawn(blocks: Sequence[Block]) -> Table:
    """Returns a table of blocks that have the same title and heads, with a rule between them."""
    table = Table(title=escape(blocks[0].title) or None, title_justify="left")
    for column in ("solver", *(name for _, name in blocks[0].heads)):
        table.add_column(escape(column), justify="left" if column == "solver" else "right", no_wrap=True)
    for block in blocks:
        for line in block.lines:
            table.add_row(Text(_indented(line)), *line.texts)
        table.add_section()
    return table
