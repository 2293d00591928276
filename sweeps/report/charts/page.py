"""A sweep's report as one HTML file that needs nothing else: no network, no fonts, no other file."""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.storage.masking import without_secrets
from sweeps.report import confidence, mistakes, search_space
from sweeps.report.charts.album import Picture
from sweeps.report.charts.history import NO_RACE, STOPPED, did_all, did_race
from sweeps.report.charts.style import points
from sweeps.report.charts.verdict import costs
from sweeps.report.text import extent, how_sure, left_out, settings_table, verdict, with_differences
from sweeps.schema.lines import on_a_line
from sweeps.schema.strict_yaml import as_yaml
from sweeps.schema.sweep import Sweep
from sweeps.verdict.finding import Finding
from sweeps.verdict.landscape import Scored, best_of, kinds, slices, told_by_slices

# A picture of photographs is some megabytes as a PNG; as a JPEG of this quality its letters stay sharp.
LARGE, QUALITY = 400_000, 88
UNBROKEN = "\u00a0±\u00a0"  # a number and its interval stay on one line
SHARP = 1.4  # a picture's pixels for each of the page's
BANNERS = {  # a look, a mark and words for each outcome
    "prompts help": ("help", "▲", "Prompts help"),
    "prompts harm": ("harm", "▼", "Prompts harm"),
    "no winner": ("none", "=", "No winner"),
    "no prompts": ("none", "=", "No setting with prompts did better"),
    "no verdict": ("none", "?", "No verdict"),
}
COSTS = ("episodes of looks", "of the race", "accuracy %", "to the winner", "seconds an episode")


@dataclass(frozen=True)
class Cell:
    """A cell of a table shows a text, and is sorted by a number if it has one."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Embedded:
    """A picture is held in the page; `width` and `height` are in the page's pixels."""

    width: int
    height: int
    data: str
    alt: str


def write_page(finding: Finding, sweep: Sweep, pictures: Sequence[Picture], path: Path) -> Path:
    """Writes the page. `pictures` are embedded by their names, those of draw_all, `episode-0` and `mistakes`; a picture
    that is not there is left out.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape  # jinja2's own

    environment = Environment(
        loader=PackageLoader("sweeps.report.charts", "."),
        autoescape=True,
        finalize=lambda value: on_a_line(value).replace(" ± ", UNBROKEN) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shares, tried = finding.importances or {}, finding.tried
    columns, compared = settings_table(finding)
    trial_columns, trials = _trials(tried) if tried else ([], [])
    told = {
        "name": sweep.name,
        "banner": BANNERS[finding.outcome],
        "verdict": verdict(finding),
        "extent": extent(finding, sweep),
        "columns": columns,
        "compared": compared,
        "with_differences": with_differences(finding),
        "sure": [Markup(marked_up(line.removeprefix("- "))) for line in how_sure(finding, sweep)],
        "lost": left_out(finding.lost) if finding.lost else "",
        "mistakes": None if finding.mistakes is None else mistakes.for_page(finding.mistakes),
        "confidence": None if finding.confidence is None else confidence.for_page(finding.confidence),
        "pictures": {one.path.stem: Embedded(*_shown_size(one.path), data_of(one.path), one.alt) for one in pictures},
        "trial_columns": trial_columns,
        "trials": trials,
        "importances": [(name, f"{share:.2f}") for name, share in shares.items()],
        "with_importance": search_space.WITH_IMPORTANCE if shares else search_space.WITHOUT_IMPORTANCE,
        "slices": {name: [one.cells() for one in slices(tried, name)] for name in told_by_slices(tried)},
        "with_slices": search_space.with_slices(tried) if tried else "",
        "configuration": Markup(
            "\n".join(escape(on_a_line(line)) for line in configuration(sweep).split("\n"))
        ),  # its lines are meant
        "hashes": [(name, one.config_hash) for name, one in finding.compared.items()],
        "other_hashes": sorted(set(finding.hashes) - {one.config_hash for one in finding.compared.values()}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template("page.html").render(told), encoding="utf-8")
    return path


def marked_up(line: str) -> str:
    """Returns a line of a report as HTML, with what Markdown marks as code and as strong in it, and nothing else."""
    from markupsafe import escape

    text = str(escape(on_a_line(line))).replace(" ± ", UNBROKEN)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", re.sub("`([^`]+)`", r"<code>\1</code>", text))


def _shown_size(picture: Path) -> tuple[int, int]:
    """Returns the width and height that have letters of all charts of one size, near the text's."""
    from PIL import Image

    with Image.open(picture) as image:
        width, height = (round(side / SHARP) for side in image.size)
    return width, height


def data_of(picture: Path) -> str:
    """Returns a PNG as the address that holds it; a large picture becomes a JPEG."""
    whole, kind = picture.read_bytes(), "png"
    if len(whole) > LARGE:
        from PIL import Image

        smaller = BytesIO()
        with Image.open(picture) as image:
            image.convert("RGB").save(smaller, "JPEG", quality=QUALITY, subsampling=0)
        if len(smaller.getvalue()) < len(whole):
            whole, kind = smaller.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{b64encode(whole).decode()}"


def configuration(sweep: Sweep) -> str:
    """Returns the whole configuration as YAML, which `fpt sweep` takes, with *** for passwords."""
    described = sweep.model_dump(by_alias=True, mode="json", exclude_none=True)
    return without_secrets(as_yaml(described))


def _trials(trials: Sequence[Scored]) -> tuple[list[tuple[str, bool]], list[tuple[bool, list[Cell]]]]:
    """Returns the columns of the table of trials, and whether they hold numbers; and for each trial whether it is the
    winner, and its cells, empty for hyper-parameters that it lacks. Columns in which nothing is known are left out.
    """
    columns = [("trial", False), ("ended", False), *((name, True) for name in COSTS), *kinds(trials).items()]
    rows = _trial_rows(trials)
    known = [place for place in range(len(columns)) if any(row[place].text for _, row in rows)]
    return [columns[place] for place in known], [(won, [row[place] for place in known]) for won, row in rows]


def _trial_rows(trials: Sequence[Scored]) -> list[tuple[bool, list[Cell]]]:
    best, names = best_of(trials), kinds(trials)
    spent = costs(trials) or [0.0] * len(trials)  # where all cost the same, their times differ by chance
    rows = []
    states = zip(trials, did_all(trials), did_race(trials), spent, strict=True)
    for number, (trial, whole, raced, seconds) in enumerate(states, 1):
        state = "winner" if trial is best else "all episodes" if whole else STOPPED if raced else NO_RACE
        away = trial.difference
        row = [
            Cell(trial.name or str(number), number),
            Cell(state),
            Cell(str(trial.looks), trial.looks),
            Cell(str(trial.episodes), trial.episodes),
            Cell(f"{100 * trial.score:.1f}", trial.score),
            Cell("" if trial is best else points(away.mean, away.ci95), away.mean),
            Cell(f"{seconds:.3g}" if seconds else "", seconds or None),
        ]
        rows.append((trial is best, [*row, *(_value_cell(trial.values.get(name)) for name in names)]))
    return rows


def _value_cell(value: Any) -> Cell:
    if value is None:
        return Cell("")
    if isinstance(value, (str, bool)):
        return Cell(str(value))
    return Cell(f"{value:.3g}" if isinstance(value, float) else str(value), float(value))
