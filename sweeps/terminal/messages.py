"""What commands say to people, and what is said of a command that was mistyped."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.cluster.head_watch import RayGoneError
from pipeline.storage.masking import has_secrets, without_secrets
from sweeps.schema.lines import on_a_line
from sweeps.schema.shipped import CONFIGS, file_of, name_of
from sweeps.terminal.ending import Interrupted, ending_well
from sweeps.terminal.output import ENOUGH, begin_again_in_utf8, reader_has_left, say_no_more, take_any_letter
from sweeps.terminal.proxies import ask_this_machine_directly

BEFORE_OVERRIDE = re.compile(r" (?=[\w.]+=)")
USUALLY_CALLED = {"--override": "--set", "--param": "--set", "--cluster": "--address", "--browser": "--open"}


class Commands(TyperGroup):
    """This is a group of commands whose mistakes are one sentence and status 2; by itself it shows its help."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        told = (args, prog_name, complete_var, False, windows_expand_args)
        if not standalone_mode:
            return super().main(*told, **extra)
        begin_again_in_utf8()
        take_any_letter()
        ask_this_machine_directly()
        try:
            try:
                status = super().main(*told, **extra)
            except typer.TyperException as error:
                say(f"fpt: {sentence_of(error)}")
                status = error.exit_code
            except typer.Abort:
                status = 1
            sys.stdout.flush()
        except (BrokenPipeError, SystemExit) as error:  # typer and rich make an exit of a broken pipe
            left = reader_has_left() if isinstance(error, BrokenPipeError) else _is_of_a_pipe(error)
            if not left:
                raise
            say_no_more()
            status = ENOUGH
        sys.exit(status or 0)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command:
            print(ctx.get_help())
            raise typer.Exit()
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is not None:
            return super().resolve_command(ctx, args)
        places = {name: f"--{name}" for name in ("help", "version")} if ctx.parent is None else {}
        for name, command in self.commands.items():
            places |= {inner: f"{name} {inner}" for inner in getattr(command, "commands", {})}
        places |= {name: name for name in self.commands}
        near = get_close_matches(args[0], places, 1, 0.5)
        hint = f"did you mean {places[near[0]]}?" if near else f"they are {', '.join(self.commands)}"
        ctx.fail(f"{args[0]!r} is no command of {ctx.command_path}; {hint}")


def _is_of_a_pipe(error: SystemExit) -> bool:
    return isinstance(error.__context__, BrokenPipeError)


def sentence_of(error: typer.TyperException) -> str:
    """Returns a mistake in what was typed, with the option or command that may have been meant."""
    context, message = getattr(error, "ctx", None), error.format_message()
    option, given = getattr(error, "option_name", None), getattr(error, "param", None)
    if option is not None and "requires an argument" in message:
        return f"{option} must be followed by a value but has none"
    if context is None or " is no command of " in message:
        return message
    options = [name for one in context.command.get_params(context) for name in one.opts if name.startswith("--")]
    if option is not None and hasattr(error, "possibilities"):
        return f"{option} is no option of {context.command_path}; {_hint(option, options)}"
    if given is not None:
        name = given.opts[0] if given.opts[0].startswith("-") else given.metavar or given.name.upper()
        if message.startswith("Missing"):
            return f"{name} must be given but is missing; {context.command_path} --help shows an example"
        said = getattr(error, "message", message).removesuffix(".")
        return f"{name} {said.replace('Input should be', 'must be')}" if "Input" in said else f"{name}: {said}"
    said, forgotten = message[0].lower() + message[1:].removesuffix("."), re.search(r"\(([\w.]+=[^)]*)\)", message)
    hint = _set(BEFORE_OVERRIDE.sub(" --set ", forgotten[1])) if forgotten else f"see {context.command_path} --help"
    return f"{context.command_path}: {said}; {hint}"


def _hint(option: str, options: list[str]) -> str:
    field = option.lstrip("-")
    if "." in field and "--set" in options:
        return _set(f"{field}=...")
    known = {name: name for name in options}
    known |= {usual: name for usual, name in USUALLY_CALLED.items() if name in options}
    near = get_close_matches(option, known, 1, 0.6)
    return f"did you mean {known[near[0]]}?" if near else f"they are {', '.join(options)}"


def _set(override: str) -> str:
    return f"did you mean --set {override}?"


def first_steps() -> str:
    """Returns what to type first, and what next."""
    return """fpt finds good position prompts for few-shot classification, and says how sure that is.

First, on the embedded data (some minutes, nothing is downloaded):
  fpt sweep glyphs
  fpt ui glyphs

Then on a folder that has a folder of images for each class:
  fpt data validate photos/ --for folder
  fpt sweep folder --set dataset.path=photos/

glyphs and folder are configurations that come with fpt; a YAML file of your own takes their place.
fpt --help lists all commands, fpt sweep --help tells of one."""


def refuse_no_file(path: Path) -> None:
    """Raises ValueError for a CONFIG that is no file, with the file that may have been meant."""
    if file_of(path).is_file():
        return
    said = f"CONFIG must be a YAML file but {str(path)!r} is"
    if path.is_dir():
        raise ValueError(f"{said} a folder; its images are searched with folder --set dataset.path={path}")
    places = (CONFIGS, Path(), Path("sweeps/configs"), path.parent)  # of equal names the last, which is the nearest
    there = {file.stem: file for place in places if place.is_dir() for file in sorted(place.glob("*.y*ml"))}
    shipped = sorted(file.stem for file in CONFIGS.glob("*.yaml"))
    near = get_close_matches(path.stem, there, 1, 0.6)
    if near:
        raise ValueError(f"{said} none; did you mean {_reached(there[near[0]])}?")
    raise ValueError(f"{said} none, and no name of one that comes with fpt, which are {', '.join(shipped)}")


def _reached(file: Path) -> str:
    """Returns the name of a file that comes with this program; another relative to the current folder where it lies in
    that, else its whole path.
    """
    whole = file.resolve()
    relative = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
    return name_of(file) or str(relative)


def browsing(config: Path, overrides: Sequence[str]) -> str:
    """Returns the command that shows a sweep's results; a tracking URI may hold a password, so that is not repeated,
    and what else holds a secret is to be filled in.
    """
    kept = [override for override in overrides if override.startswith(("home=", "name="))]
    shown = [f"{one.partition('=')[0]}=..." if has_secrets(one) else one for one in kept]
    return shlex.join(["fpt", "ui", str(config), *(f"--set={override}" for override in shown)])


def table_width(as_json: bool) -> int | None:
    """Returns None for the terminal's own width, or 100 characters where there is no terminal."""
    return None if (sys.stderr if as_json else sys.stdout).isatty() else 100


@contextmanager
def one_sentence_for_mistakes() -> Iterator[None]:
    """Ends the command with status 2 for bad input (ValueError), 1 for what fails, 130 or 143 where it was told to end,
    and one sentence.
    """
    try:
        with ending_well():
            yield
    except (KeyboardInterrupt, Exception) as error:
        interrupt = _interrupt_in(error)
        if isinstance(interrupt, RayGoneError):  # which has been said
            raise typer.Exit(1) from error
        if interrupt is not None:
            ended = interrupt if isinstance(interrupt, Interrupted) else Interrupted(signal.SIGINT)
            say(f"fpt: {ended}; what was computed is kept, and the same command again goes on where this one stopped")
            raise typer.Exit(ended.status) from error
        if isinstance(error, ValueError):
            say(f"fpt: {error}")
            raise typer.Exit(2) from error
        if os.environ.get("FPT_TRACEBACK") or (isinstance(error, BrokenPipeError) and reader_has_left()):
            raise
        # A number of the system's says nothing beside a sentence of our own, which names files itself.
        own = isinstance(error, OSError) and error.filename is None and error.strerror
        say(f"fpt: {type(error).__name__}: {own or error} (FPT_TRACEBACK=1 shows where)")
        raise typer.Exit(1) from error


def say(line: str) -> None:
    """Prints a line (or several) for people, on standard error, without secrets and with what cannot be seen in it."""
    print("\n".join(map(on_a_line, without_secrets(line).split("\n"))), file=sys.stderr, flush=True)


def _interrupt_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """Returns the interrupt that an error comes of, None where it comes of none: of one that arrives while a library is
    loaded Python may make another error.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
