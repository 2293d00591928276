"""The images that `fpt data` is about: what was typed makes a data set, and what is wrong is said of what was typed."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from fpt.paths import whole_path
from fpt.registry import check_name
from pipeline.config import Run, plain_run
from pipeline.data.sources.catalogue import COLUMNS, detect, listed
from sweeps.schema.loading import load, override
from sweeps.schema.sentences import sentence_of
from sweeps.schema.sweep import Sweep
from sweeps.terminal.messages import refuse_no_file

if TYPE_CHECKING:
    from pipeline.data.packing.validating import Validation

EPISODES = {"way": 5, "shot": 1, "query": 10}  # where neither options nor a configuration say more


class Typed(NamedTuple):
    """These are the options of `fpt data`, None for those that were not given; `sets` are like `dataset.classes=leaf`,
    and `config` is the configuration that the images are for.
    """

    src: str | Path
    kind: str | None = None
    seed: int | None = None
    hold_out: str | None = None
    all_novel: bool = False
    sets: Sequence[str] = ()
    config: Path | None = None
    way: int | None = None
    shot: int | None = None
    query: int | None = None


def run_of(typed: Typed) -> Run:
    """Returns the run (with a configuration, the sweep) whose images were typed. Raises ValueError for what does not go
    together.
    """
    if typed.kind is not None:
        check_name("--source", typed.kind, listed())
    if typed.hold_out not in (None, "classes", "pictures"):
        raise ValueError(f"--hold-out must be classes or pictures but got {typed.hold_out!r}")
    if typed.hold_out == "pictures" and typed.all_novel:
        raise ValueError("--all-novel must be left out with --hold-out pictures, by which all splits get some")
    source, src = typed.kind, _place(str(typed.src))
    if typed.config is not None:
        refuse_no_file(typed.config)
        source = source or _source_of(typed.config, typed.sets)
    if source is None and not any(one.startswith("dataset.source=") for one in typed.sets):
        columns = {name: value for name in COLUMNS if (value := _set(typed.sets, f"dataset.{name}"))}
        source = detect(src, **columns)
    fields = {
        "dataset.source": source,
        "dataset.path": src,
        "dataset.split_seed": typed.seed,
        "dataset.hold_out": typed.hold_out,
        "dataset.all_novel": typed.all_novel or None,
        **{f"episodes.{name}": getattr(typed, name) for name in EPISODES},
    }
    said = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in fields.items()
        if value is not None
    ]
    if typed.config is not None:
        return load(typed.config, [*typed.sets, *said])
    values: dict[str, Any] = {"episodes": dict(EPISODES)}
    for one in (*typed.sets, *said):
        override(values, one)
    try:
        return Run.model_validate(values)
    except ValidationError as error:
        raise ValueError(sentence_of(error, Run)) from error


def _set(sets: Sequence[str], field: str) -> str | None:
    """Returns what a field was set to, the last time that it was."""
    said = [one.partition("=")[2] for one in sets if one.startswith(f"{field}=")]
    return said[-1] if said else None


def _place(src: str) -> str:
    """Returns what was typed with `~` and environment variables replaced, a path without what changes nothing in it."""
    try:
        whole = whole_path(src)
    except ValueError as error:
        raise ValueError(f"SRC {error}") from error
    return whole if "://" in whole else str(Path(whole))


def _source_of(config: Path, sets: Sequence[str]) -> str | None:
    """Returns the source that a configuration reads its own images by, None for one that has none, or says nothing."""
    try:
        source = load(config, ["dataset.path=SRC", *sets]).dataset.source
    except ValueError:  # as glyphs take no path; what is wrong otherwise is told when it is read with SRC
        return None
    return source if source in listed() else None


def obstacle(run: Run, found: "Validation") -> str | None:
    """Returns why a sweep (of a run alone: its episodes and those that a sweep searches on) would not start on images
    that were validated, None where it would.
    """
    from pipeline.checks import check_episodes

    leaks = [problem for problem in found.problems if problem.kind.startswith("leak")]
    if leaks and run.dataset.leaks == "refuse":
        return (
            f"dataset.leaks must be leave_out where pictures are in two classes or splits, as {len(leaks)} are, but is "
            "refuse; --set dataset.leaks=leave_out will do"
        )
    kept = {split: {name: count for name, count in classes.items() if count} for split, classes in _splits(found)}
    fields = {"episodes.split": run.episodes.split}
    if not run.dataset.all_novel:
        fields["search.split"] = "validation"
    try:
        if isinstance(run, Sweep):
            from sweeps.sweep import check_sweep

            fields["search.split"] = check_sweep(run).split
        for field, split in fields.items():
            check_episodes(plain_run(run, split), kept, field)
    except ValueError as error:
        return as_typed(str(error))
    return None


def _splits(found: "Validation") -> Iterator[tuple[str, Mapping[str, int]]]:
    return ((split, classes) for split, classes in found.summary.splits.items() if any(classes.values()))


@contextmanager
def said_of_src() -> Iterator[None]:
    """Lets what is wrong name SRC, which was typed, and not what it is called further in."""
    try:
        yield
    except ValueError as error:
        raise ValueError(as_typed(str(error))) from error


def as_typed(said: str) -> str:
    """Returns a sentence on a field or a function's argument as one on SRC."""
    return re.sub(r"\bdataset\.path\b(?!=)|^root\b(?= (of \w+ |of a table |of SRC )?must)", "SRC", said)
