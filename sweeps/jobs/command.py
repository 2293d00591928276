"""A command that is to run elsewhere, checked here before anything is sent."""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.storage.masking import has_secrets
from sweeps.schema.loading import load, values_of
from sweeps.schema.shipped import file_of, is_shipped
from sweeps.schema.sweep import Sweep

GO_ON = "the same command goes on where it stopped"  # what is said wherever a job has ended

Say = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """A command is as it will run elsewhere: `typed` follow `name`, and one of them is `config`.

    `values` are what `wanted` was read from, overrides among them; `options` are the arguments besides the
    configuration that change what is done.
    """

    name: str
    typed: tuple[str, ...]
    config: Path
    wanted: Sweep
    values: Mapping[str, Any]
    options: Mapping[str, Any]

    def run_by(self, python: str) -> str:
        """Returns what a shell is given to run this command by a Python."""
        return shlex.join([python, "-m", "sweeps.cli", self.name, *self.typed])

    @property
    def submission_id(self) -> str:
        """Returns the id of the work, which is the same for all commands that would do the same work on one cluster."""
        return self.id_in(None)

    def id_in(self, folder: Path | None) -> str:
        """Returns the id of the work where it is done in a folder, which its home may be relative to."""
        left_out = {"home", "tracking_uri"} - self.wanted.model_fields_set  # the cluster's own
        described = [self.name, self.wanted.model_dump(mode="json", by_alias=True, exclude=left_out), self.options]
        if folder is not None:
            described.append(str(folder))
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"fpt-{self.name}-{re.sub('[^A-Za-z0-9_.]+', '-', self.wanted.name)}-{digest}"

    def with_config(self, config: str) -> "Command":
        """Returns the command with its configuration found elsewhere."""
        at = next(i for i, argument in enumerate(self.typed) if Path(argument) == self.config)
        return replace(self, typed=(*self.typed[:at], config, *self.typed[at + 1 :]), config=Path(config))

    def without_overrides(self, config: str) -> "Command":
        """Returns the command with a configuration that holds what was overridden."""
        moved, left, value = self.with_config(config), [], False
        for argument in moved.typed:
            if value:
                value = False
            elif argument == "--set":
                value = True
            elif not argument.startswith("--set="):
                left.append(argument)
        return replace(moved, typed=tuple(left))

    def in_a_folder_that_travels(self, folder: Path) -> "Command":
        """Returns the command with its configuration relative to a folder that is sent; one that comes with this
        program keeps its name, which is known there too. Raises ValueError for what such a folder does not hold.
        """
        _refuse_home_of_this_machine(self.wanted)
        if is_shipped(self.config):
            return self
        file = file_of(self.config)
        place = file.parent.resolve() / file.name
        if not place.is_relative_to(folder):
            raise ValueError(
                f"CONFIG must lie in the current folder, which is what travels, but got {str(self.config)!r}"
            )
        return self.with_config(place.relative_to(folder).as_posix())


def remote_command(
    name: str, typed: list[str], config: Path, overrides: list[str], options: Mapping[str, Any]
) -> Command:
    """Checks a command that was typed as `name` and `typed`. Raises ValueError for what could not run elsewhere."""
    for argument in typed:
        _refuse_password(argument, f"--set {argument.removeprefix('--set=').partition('=')[0]}")
    if (file := file_of(config)).is_file():
        _refuse_password(file.read_text(encoding="utf-8", errors="replace"), "CONFIG")
    wanted = load(config, overrides)
    _refuse_password(json.dumps(wanted.model_dump(), default=str), "CONFIG")
    return Command(name, tuple(typed), config, wanted, values_of(config, overrides), options)


def named_by(wanted: Sweep) -> list[str]:
    """Returns the paths that a configuration names: of images and weights, those of a table too."""
    datasets: list[Mapping[str, Any]] = [wanted.dataset.model_dump()]
    backbones: list[Mapping[str, Any]] = [wanted.backbone.model_dump(), *wanted.backbones.values()]
    if wanted.table is not None:
        datasets += wanted.table.datasets.values()
        backbones += wanted.table.backbones.values()
    paths = [*(one.get("path") for one in datasets), *(one.get("weights") for one in backbones), wanted.fit.support]
    return [path for path in paths if isinstance(path, str)]


def _refuse_home_of_this_machine(wanted: Sweep) -> None:
    if "home" in wanted.model_fields_set and "://" not in wanted.home and not Path(wanted.home).is_absolute():
        raise ValueError(
            f"home must be what every node reaches, a URI like s3://bucket/fpt or an absolute path, but got "
            f"{wanted.home!r}; leave it out where the cluster sets FPT_HOME"
        )


def _refuse_password(text: str, where: str) -> None:
    if has_secrets(text):
        raise ValueError(
            f"{where} must hold no password, token or key, for all who reach the cluster can see it, but holds what "
            "looks like one; set it in the cluster's environment instead (MLFLOW_TRACKING_URI)"
        )
