"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

# Commands that make no sense on a cluster.
HERE_ONLY = ("compare", "data", "doctor", "export", "fit", "predict", "report", "show", "status", "submit", "ui")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
Address = Annotated[
    str | None, typer.Option(help="Use this Ray cluster, e.g. auto or ray://host:10001; by default, this machine.")
]
More = Annotated[int | None, typer.Option(help="Look at settings so many times more than CONFIG's plan says.")]
AtHome = Annotated[str | None, typer.Option("--home", help="Look into this home; by default, into FPT_HOME or runs/.")]
Stacks = Annotated[list[int], typer.Option("--stack", help="Solve so many problems together; may be given again.")]
Config = Annotated[
    Path,
    typer.Argument(help="Read this YAML file, or one that comes with fpt, by its name, e.g. glyphs.", metavar="CONFIG"),
]
Results = Annotated[Path | None, typer.Argument(help="Show this file's sweep; else all that FPT_HOME or runs/ holds.")]
Set = Annotated[list[str], typer.Option("--set", help="Override a field, e.g. --set solver.lr=0.01", metavar="a.b=c")]
