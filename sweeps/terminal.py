"""What commands say to people."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def one_sentence_for_mistakes() -> Iterator[None]:
    """Ends the command with status 2 for bad input (ValueError), 1 for what fails, and one sentence."""
    try:
        yield
    except ValueError as error:
        say(f"fpt: {error}")
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        say("fpt: interrupted; the same command again goes on where this one stopped")
        raise typer.Exit(1) from error
    except Exception as error:
        if os.environ.get("FPT_TRACEBACK"):
            raise
        say(f"fpt: {type(error).__name__}: {error} (FPT_TRACEBACK=1 shows where)")
        raise typer.Exit(1) from error


def say(line: str) -> None:
    """A line for people, on standard error."""
    print(line, file=sys.stderr, flush=True)
