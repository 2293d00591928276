"""Which code made a run, and on what: tags, for a sweep may be gone on with by another version or on other machines.

MLflow refuses another value of a parameter, and such a run would break off; a tag is that of the last start. What
decides the results (configuration, fingerprints, precision) is part of what identifies the run, cannot change under it,
and is a parameter.
"""

import getpass
import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.identity import METHOD_VERSION, Found
from pipeline.opening import IN_JOB

ROOT = Path(__file__).resolve().parents[2]
CODE = ("fpt", "pipeline", "sweeps")  # folders whose changes are changes of the code
PACKAGES = ("torch", "timm", "ray", "mlflow", "optuna")


def code_tags(command: str) -> dict[str, str]:
    """Returns command, package, commit and user, as far as they are known, by MLflow's own names where it has any."""
    installed = _version("fpt") or "unknown"
    tags = {
        "mlflow.source.name": f"fpt {command}",
        "mlflow.source.type": "JOB" if IN_JOB in os.environ else "LOCAL",
        "fpt.version": installed,
        "fpt.method": str(METHOD_VERSION),
    }
    with suppress(KeyError, OSError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    if (found := commit_of(ROOT)) is not None:
        commit, dirty = found
        tags["mlflow.source.git.commit"] = commit
        tags["mlflow.source.git.dirty"] = str(dirty).lower()
        tags["fpt.version"] = f"{installed} {commit[:8]}{'+' if dirty else ''}"
    return tags


def environment_tags(found: Found) -> dict[str, str]:
    """Returns versions and platform of this process, and the device that the first worker found."""
    tags = {"env.python": platform.python_version(), "env.platform": platform.platform()}
    tags |= {f"env.{name}": own for name in PACKAGES if (own := _version(name)) is not None}
    return {**tags, "env.device": found.device}


def commit_of(root: Path) -> tuple[str, bool] | None:
    """Returns the commit that the code below a folder is of, and whether it was changed since. Returns None for code
    that no git checkout holds: an installed package may lie inside somebody else's.
    """
    held = _git(root, "ls-files", "--error-unmatch", "--", *(folder for folder in CODE if (root / folder).is_dir()))
    commit = _git(root, "rev-parse", "HEAD") if held else None
    if not commit:
        return None
    return commit, bool(_git(root, "status", "--porcelain", "--", *CODE))


def _git(root: Path, *arguments: str) -> str | None:
    """Returns what git prints, None where it fails or is not there."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None
