"""Arguments and options that several commands share."""

from typing import Annotated

import typer

# Commands that make no sense on a cluster.
HERE_ONLY = ("compare", "data", "doctor", "report", "show", "status", "submit", "ui")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
Address = Annotated[
    str | None, typer.Option(help="Use this Ray cluster, e.g. auto or ray://host:10001; by default, this machine.")
]
More = Annotated[int | None, typer.Option(help="Look at settings so many times more than CONFIG's plan says.")]
AtHome = Annotated[str | None, typer.Option("--home", help="Look into this home; by default, into FPT_HOME or runs/.")]
Stacks = Annotated[list[int], typer.Option("--stack", help="Solve so many problems together; may be given again.")]
