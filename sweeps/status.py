"""`fpt status`: what runs in a home. It reads files and starts nothing."""

import json
from typing import Annotated

import typer

from sweeps.terminal.messages import one_sentence_for_mistakes
from sweeps.terminal.options import AsJson, AtHome


def status(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Take the command whose ID begins so; by default, all that the home holds."),
    ] = None,
    home: AtHome = None,
    as_json: AsJson = False,
) -> None:
    """Tell what runs in a home, how far it is, and which workers died of what.

    It reads the home's files alone, and answers for a sweep that is running, finished or dead.

    Example: fpt status
    """
    with one_sentence_for_mistakes():
        from pipeline.storage.folder import Home
        from pipeline.storage.masking import masked, without_secrets
        from sweeps.lookup.standing import as_json as described
        from sweeps.lookup.standing import as_text, standings
        from sweeps.schema.sweep import Sweep

        told = standings(Home(home or Sweep().home), wanted)
        print(json.dumps(masked(described(told))) if as_json else without_secrets(as_text(told)))
