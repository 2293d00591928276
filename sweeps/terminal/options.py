"""Arguments and options that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]
AtHome = Annotated[str | None, typer.Option("--home", help="Look into this home; by default, into FPT_HOME or runs/.")]
