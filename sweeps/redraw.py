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

SWEEPS = "sweeps"  # the folder of a home that holds a folder for each sweep


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
    from sweeps.report.files import CONFIGURATION, draw_again
    from sweeps.report.first_episode import NAME, first_episode
    from sweeps.schema.loading import load
    from sweeps.verdict import saved

    sweep_id = _chosen(home, wanted)
    folder = home.local / SWEEPS / sweep_id
    if home.here is None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (saved.NAME, CONFIGURATION, NAME):
            if home.has(f"{SWEEPS}/{sweep_id}/{name}"):
                home.fetch(f"{SWEEPS}/{sweep_id}/{name}", folder / name)
    finding, sweep = saved.finding_of((folder / saved.NAME).read_bytes()), load(folder / CONFIGURATION, [])
    episode = first_episode(sweep, finding.values, folder)
    files = draw_again(finding, sweep, episode if episode.path.is_file() else None, folder)
    home.keep(files)
    return finding, next(file for file in files if file.name == "report.html")


def _chosen(home: "Home", wanted: str | None) -> str:
    """Returns the ID of the sweep that is meant. Raises ValueError where there is none, or none that has finished."""
    from sweeps.verdict.saved import NAME

    ids = [name for name in home.folders(SWEEPS) if not name.startswith(".")]
    findings = {name: f"{SWEEPS}/{name}/{NAME}" for name in ids if home.has(f"{SWEEPS}/{name}/{NAME}")}
    if wanted is None:
        if not findings:
            raise ValueError(f"home must hold a finished sweep but {home.uri!r} has none; fpt sweep makes one")
        return max(findings, key=lambda name: _changed(home, findings[name]))
    meant = [name for name in ids if name.startswith(wanted)]
    if len(meant) != 1:
        there = f"one of {', '.join(meant or ids)}" if ids else "that of a sweep"
        told = f"begins {len(meant)} of them" if meant else "is none of them" if ids else "is none: there are no sweeps"
        raise ValueError(f"ID must be {there} in {home.uri!r} but {wanted!r} {told}")
    if meant[0] not in findings:
        raise ValueError(
            f"ID must be that of a finished sweep but {meant[0]!r} has no finding yet; the same fpt sweep command goes "
            "on with it"
        )
    return meant[0]


def _changed(home: "Home", name: str) -> int:
    """Returns when a file was last written, 0 where its store does not tell."""
    return home.filesystem.get_file_info(f"{home.root}/{name}").mtime_ns or 0
