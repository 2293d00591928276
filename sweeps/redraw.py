"""`fpt report`: the report of a finished sweep, drawn again from its files. Nothing is computed and nothing asked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.terminal.messages import one_sentence_for_mistakes, table_width
from sweeps.terminal.options import AsJson, AtHome

if TYPE_CHECKING:
    from pipeline.storage.folder import Home
    from sweeps.verdict.finding import Finding


def report(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Take the sweep whose ID begins so; by default, the newest finished sweep."),
    ] = None,
    home: AtHome = None,
    as_json: AsJson = False,
) -> None:
    """Draw a finished sweep's report again, from the files that the sweep has left.

    Nothing is computed: pages and pictures are as this version of fpt draws them.

    Example: fpt report
    """
    with one_sentence_for_mistakes():
        from rich.console import Console

        from pipeline.storage.folder import Home
        from sweeps.report.json_object import as_json as described
        from sweeps.report.text import print_finding
        from sweeps.schema.sweep import Sweep

        finding, page = redraw(Home(home or Sweep().home), wanted)
        console = Console(stderr=as_json, width=table_width(as_json))
        print_finding(finding, console)
        console.print(f"Read it: {page}", highlight=False, markup=False, soft_wrap=True)
        if as_json:
            print(json.dumps(described(finding, {"report": str(page)})))


def redraw(home: "Home", wanted: str | None) -> tuple["Finding", Path]:
    """Draws the report of the sweep whose ID begins with `wanted`, or of the newest finished sweep where that is None.
    Returns what the sweep found and its page. Raises ValueError for a sweep that is not there or has no finding yet.
    """
    from sweeps.lookup.finished import SWEEPS, chosen_sweep
    from sweeps.report.files import CONFIGURATION, draw_again
    from sweeps.report.first_episode import NAME as EPISODE
    from sweeps.report.first_episode import first_episode
    from sweeps.report.surest import NAME as MISTAKES
    from sweeps.report.surest import surest
    from sweeps.schema.loading import load
    from sweeps.verdict import saved

    sweep_id = chosen_sweep(home, wanted, saved.NAME)
    folder = home.local / SWEEPS / sweep_id
    if home.here is None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (saved.NAME, CONFIGURATION, EPISODE, MISTAKES):
            if home.has(f"{SWEEPS}/{sweep_id}/{name}"):
                home.fetch(f"{SWEEPS}/{sweep_id}/{name}", folder / name)
    finding, sweep = saved.finding_of((folder / saved.NAME).read_bytes()), load(folder / CONFIGURATION, [])
    episode = first_episode(sweep, finding.values, folder)
    solved = [*([episode] if episode.path.is_file() else []), *surest(finding, folder)]
    files = draw_again(finding, sweep, solved, folder)
    home.keep(files)
    return finding, next(file for file in files if file.name == "report.html")
