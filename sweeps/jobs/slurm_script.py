"""The script that Slurm is given: Ray on some nodes, and a command on the first of them."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sweeps.jobs.command import Command

CORES_OF_A_GPU = 4  # by default: the worker of a GPU, and what prepares its images
NOTICE_SECONDS = 120  # before the end of its time that a job is told of it, in the script's --signal
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


@dataclass(frozen=True)
class Allocation:
    """An allocation is what a job asks Slurm for. `options` are further ones of sbatch's, `setup` are lines of shell
    that run before anything else.
    """

    nodes: int
    gpus_per_node: int
    cpus_per_node: int
    gib_per_node: int | None
    time: str
    partition: str | None = None
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()


def allocation_of(
    nodes: int | None,
    gpus: int | None,
    cpus: int | None,
    gib: int | None,
    time: str | None,
    partition: str | None,
    options: Sequence[str],
    setup: Sequence[str],
) -> Allocation:
    """Returns what was typed as an allocation. Raises ValueError for what Slurm, or a script of it, could not take."""
    if time is None:
        raise ValueError("--time must be given with --to slurm but is missing; 12:00:00 are hours, 2-00 are days")
    if seconds_of(time) <= NOTICE_SECONDS:
        raise ValueError(
            f"--time must be more than {NOTICE_SECONDS // 60} minutes but got {time!r}: so long before its end a job "
            "is told of it, and goes into the queue again"
        )
    if partition is not None and not re.fullmatch(r"[\w.,-]+", partition):
        raise ValueError(f"--partition must be a partition's name, or several with commas, but got {partition!r}")
    for option in options:
        if not option.startswith("-") or "\n" in option:
            raise ValueError(f"--sbatch must be an option of sbatch's, like --account=lab, but got {option!r}")
    for line in setup:
        if "\n" in line:
            raise ValueError("--setup must be one line of shell but has several; it may be given again")
    gpus = gpus or 0
    cores = cpus or max(1, gpus) * CORES_OF_A_GPU
    return Allocation(nodes or 1, gpus, cores, gib, time, partition, tuple(options), tuple(setup))


def seconds_of(time: str) -> int:
    """Returns the seconds of a time as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
    days-hours:minutes, days-hours:minutes:seconds. Raises ValueError for anything else.
    """
    if (match := TIME.fullmatch(time)) is None:
        raise ValueError(f"--time must be like 90 (minutes), 12:00:00 or 2-12 (days-hours) but got {time!r}")
    days, first, second, third = (int(part) if part else None for part in match.groups())
    if days is not None:
        return ((days * 24 + (first or 0)) * 60 + (second or 0)) * 60 + (third or 0)
    if third is not None:
        return ((first or 0) * 60 + (second or 0)) * 60 + third
    return (first or 0) * 60 + (second or 0)


def script_of(command: Command, allocation: Allocation, name: str, folder: Path, logs: Path, python: str) -> str:
    """Returns the script of a job called `name`, which runs in `folder`, and leaves in `logs` its log, and once it has
    ended its status.
    """
    template = Environment(
        loader=PackageLoader("sweeps.jobs", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    ).get_template("slurm.sbatch")
    return template.render(
        **vars(allocation) | {"lines": allocation.options},
        name=name,
        folder=str(folder),
        log=f"{logs}/{name}-".replace("%", "%%") + "%j.log",
        ended=shlex.quote(f"{logs}/{name}-ended-"),
        python=shlex.quote(python),
        command=command.run_by("PYTHON").replace("PYTHON", '"$python"', 1),
        shown=shlex.join(["fpt", command.name, *command.typed]),
    )
