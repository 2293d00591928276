"""The command line. Its exit status is 0, 1 (failed) or 2 (bad input, one sentence on standard error)."""

import json
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.storage.masking import masked, without_secrets
from pipeline.storage.private import keep_private
from sweeps.classify import classifiers
from sweeps.data import data
from sweeps.doctor import doctor
from sweeps.redraw import report
from sweeps.schema import loading
from sweeps.schema.sweep import Sweep
from sweeps.status import status
from sweeps.submit import submit
from sweeps.terminal import messages as terminal
from sweeps.terminal.messages import Commands, browsing, first_steps, one_sentence_for_mistakes, say
from sweeps.terminal.options import Address, AsJson, Config, More, Results, Set, Stacks

SEARCH, LOOK, OWN, MACHINES = "Search", "Look at results", "Your own images", "Clusters and speed"  # panels of the help

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

app.add_typer(data, name="data", rich_help_panel=OWN)
app.add_typer(classifiers)


def _version(asked: bool) -> None:
    if asked:
        print(f"fpt {installed('fpt')}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def fpt(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find good position prompts for few-shot classification of your images, and know how sure that is.

    Start with: fpt sweep glyphs

    Then: fpt ui
    """
    keep_private(Path.cwd())  # of a job
    if context.invoked_subcommand is None:
        print(first_steps())


def load(path: Path, overrides: list[str]) -> Sweep:
    """Loads as sweeps.schema.loading.load_whole does. Where CONFIG is no file, the sentence names the file that may
    have been meant.
    """
    terminal.refuse_no_file(path)
    return loading.load_whole(path, overrides)


@app.command(rich_help_panel=SEARCH)
def run(config: Config, overrides: Set = [], as_json: AsJson = False, address: Address = None) -> None:  # noqa: B006
    """Evaluate one setting: accuracy over episodes, with its 95 % interval.

    Example: fpt run glyphs --set episodes.count=100 --set prompts.alpha=0
    """
    with one_sentence_for_mistakes():
        wanted = load(config, overrides)
        from sweeps import run as running

        found = running.evaluate(wanted, address)
        _print(running.as_text(found), running.as_json(found), as_json)


@app.command(rich_help_panel=SEARCH)
def sweep(
    config: Config,
    overrides: Set = [],  # noqa: B006
    more: More = None,
    as_json: AsJson = False,
    address: Address = None,
) -> None:
    """Search for the best setting, then judge it on classes no trial saw.

    It tries lambda, alpha, tau, patches and what else CONFIG's search names. Where it is stopped half way, the same
    command goes on; with --more it goes on further than CONFIG says.

    Example: fpt sweep glyphs --set search.minutes=30

    Next: fpt ui glyphs
    """
    with one_sentence_for_mistakes():
        overrides = [*overrides, *([] if more is None else [f"search.more={more}"])]
        wanted = load(config, overrides)
        say("fpt: starting (images, Ray, backbone)")
        from sweeps.timing import timed_sweep

        finding, where, times = timed_sweep(wanted, address)
        from rich.console import Console

        from sweeps.report.json_object import as_json as described
        from sweeps.report.text import print_finding

        console = Console(stderr=as_json, width=terminal.table_width(as_json))
        print_finding(finding, console)
        say(f"fpt: {times}")
        console.print(f"Read it: {where['report']}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"Browse it: {browsing(config, overrides)}", highlight=False, markup=False, soft_wrap=True)
        if as_json:
            print(json.dumps({**described(finding, where), "times": times.as_json()}))


@app.command(rich_help_panel=SEARCH)
def table(config: Config, overrides: Set = [], as_json: AsJson = False, address: Address = None) -> None:  # noqa: B006
    """Make the paper's table: solvers x shots x data sets, with and without prompts.

    It appears on the terminal and in files; cells that the ledger holds are read.

    Example: fpt table glyphs-table
    """
    with one_sentence_for_mistakes():
        wanted = load(config, overrides)
        say("fpt: starting (images, Ray, backbone)")
        from rich.console import Console

        from sweeps.table import make_table
        from sweeps.tables.cells import as_records
        from sweeps.tables.layout import as_table

        cells, files = make_table(wanted, address)
        console = Console(stderr=as_json, width=terminal.table_width(as_json))
        console.print(as_table(cells, wanted))
        console.print(f"Files: {', '.join(map(str, files))}", highlight=False, markup=False, soft_wrap=True)
        if as_json:
            print(json.dumps({"rows": as_records(cells), "files": [str(file) for file in files]}))


@app.command(rich_help_panel=LOOK)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Name a YAML file, configuration hash or trial's MLflow run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Name what A is compared with, likewise.")],
    set_a: Annotated[list[str], typer.Option(help="Override a field of A's file.", metavar="a.b=c")] = [],  # noqa: B006
    set_b: Annotated[list[str], typer.Option(help="Override a field of B's file.", metavar="a.b=c")] = [],  # noqa: B006
    home: Annotated[str | None, typer.Option(help="Read this home's ledger; by default, that of the files.")] = None,
    split: Annotated[str | None, typer.Option(help="Compare on this split, not on those of A and B.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the paired difference of two settings that have been evaluated.

    It is A - B, on the episodes that the ledger holds of both; nothing is computed.
    A trial's run stands for the episodes that it was searched on, a file for those of fpt run.

    Example: fpt compare glyphs glyphs --set-b prompts.alpha=0
    """
    with one_sentence_for_mistakes():
        from sweeps import compare as comparing

        found = comparing.compare((a, b), (set_a, set_b), home, split)
        _print(comparing.as_text(found), comparing.as_json(found), as_json)


@app.command(rich_help_panel=LOOK)
def show(
    config: Config,
    episode: Annotated[int, typer.Option(min=0, help="Draw the episode of this number.")] = 0,
    out: Annotated[Path, typer.Option(help="Write this PNG file.")] = Path("episode.png"),
    attention: Annotated[
        str,
        typer.Option(help="Draw a map, or its cover, the fewest patches with 95 %, or both.", metavar="map|cover|both"),
    ] = "map",
    images: Annotated[
        str, typer.Option(help="Draw support images, queries or both.", metavar="support|query|both")
    ] = "both",
    most: Annotated[int, typer.Option(help="Draw so many images of each, of as many classes as can be.")] = 8,
    overrides: Set = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Draw an episode: its images, prompts and predictions, where [CLS] looks before and after fine-tuning.

    Example: fpt show glyphs --episode 3 --out episode.png
    """
    with one_sentence_for_mistakes():
        wanted = load(config, overrides)
        from sweeps.show import show as drawn

        result = drawn(wanted, episode, out, attention, images, most)
        _print(result["file"], result, as_json)


@app.command(rich_help_panel=MACHINES)
def bench(
    config: Config,
    overrides: Set = [],  # noqa: B006
    as_json: AsJson = False,
    stacks: Stacks = [1, 8],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Time each stack so often, and tell the median.")] = 5,
    whole: Annotated[bool, typer.Option("--sweep", help="Time a whole sweep instead, in a new home.")] = False,
) -> None:
    """Time one worker: its episodes a second, and how many they could be at most.

    The most is what there would be if there were nothing but matrix products.
    With --sweep, it tells how long a sweep takes to start, part by part, and what orchestration costs it then.

    Example: fpt bench glyphs --stack 1 --stack 8
    """
    with one_sentence_for_mistakes():
        wanted = load(config, overrides)
        if whole:
            from sweeps.timing import times_of_new_sweep

            times = times_of_new_sweep(wanted)
            _print(str(times), times.as_json(), as_json)
            return
        from sweeps.bench import speed

        text, result = speed(wanted, stacks, repeats)
        print(text, file=sys.stderr if as_json else sys.stdout)
        if as_json:
            print(json.dumps(result))


app.command(rich_help_panel=MACHINES, context_settings={"allow_interspersed_args": False})(submit)
app.command(rich_help_panel=MACHINES)(doctor)
app.command(rich_help_panel=LOOK)(status)
app.command(rich_help_panel=LOOK)(report)


@app.command(rich_help_panel=LOOK)
def ui(
    config: Results = None,
    overrides: Set = [],  # noqa: B006
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve on this port; else on the first free from 5000.")
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open a browser there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Browse the results in MLflow, on this machine only, until Ctrl-C.

    It says where to click: the experiment, and the report of its newest finished sweep.
    With --json that is told as soon as MLflow answers, and it goes on.

    Example: fpt ui glyphs
    """
    with one_sentence_for_mistakes():
        if config is None and overrides:
            raise ValueError(f"CONFIG must be given for --set but is missing: {overrides[0]!r} changes nothing else")
        wanted = load(config, overrides) if config else Sweep.model_construct()
        from sweeps.tracking.store import tracking_uri
        from sweeps.ui import browse

        status = browse(tracking_uri(wanted), wanted.name if config else None, port, as_json, opens)
    raise typer.Exit(status)


def _print(text: str, result: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(masked(result)) if as_json else without_secrets(text))


if __name__ == "__main__":
    app()
