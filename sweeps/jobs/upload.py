"""Code and configurations of the current folder travel to a cluster; results, data and environments never do."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LIMIT = 100 * 2**20  # bytes; Ray's server takes no more
MIB = 2**20

RESULTS = frozenset({"runs", "data", "mlruns"})  # directly in the folder only: fpt/glyphs/data is part of the code
NEVER = frozenset({".git", ".venv", "venv", "env", ".env", ".cache", "__pycache__", "node_modules"})
SUFFIXES = frozenset({".arrow", ".parquet", ".db"})
# Ray would apply them to what has been chosen here, and leave out what a repository tracks all the same.
IGNORE_FILES = frozenset({".gitignore", ".rayignore"})


def travelling(folder: Path, config: Path) -> dict[Path, int]:
    """Returns the files that travel, relative to the folder, with their sizes; `config` is among them, wherever it lies
    in the folder.

    What git ignores stays here, where git can tell. Raises ValueError for more than LIMIT bytes.
    """
    chosen = {path for path in _listed(folder) if _travels(path) and (folder / path).is_file()}
    sizes = {path: (folder / path).stat().st_size for path in sorted({*chosen, config})}
    total = sum(sizes.values())
    if total > LIMIT:
        entries: Counter[str] = Counter()
        for path, size in sizes.items():
            entries[path.parts[0]] += size
        largest = ", ".join(f"{name} ({size / MIB:.1f} MiB)" for name, size in entries.most_common(3))
        raise ValueError(
            f"the current folder must hold at most {LIMIT // MIB} MiB to travel but holds {total / MIB:.1f} MiB, "
            f"most of it in {largest}; what .gitignore names, or another folder, stays here"
        )
    return sizes


def stage(folder: Path, files: dict[Path, int], target: Path) -> None:
    """Copies files to another folder, so that exactly they are uploaded."""
    for path in files:
        (target / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / path, target / path)


def _travels(path: Path) -> bool:
    *folders, name = path.parts
    return not (
        path.parts[0] in RESULTS
        or NEVER & set(path.parts)
        or any(_is_cache(part) for part in folders)
        or path.suffix in SUFFIXES
        or name in IGNORE_FILES
    )


def _is_cache(name: str) -> bool:
    return name.startswith(".") and name.endswith("_cache")


def _listed(folder: Path) -> Iterator[Path]:
    """Yields all files, relative to the folder, but for those that git ignores; outside a repository, all that could
    travel.
    """
    try:
        git = subprocess.run(
            ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        for parent, folders, names in os.walk(folder):
            here = Path(parent).relative_to(folder)
            folders[:] = [name for name in folders if _travels(here / name) and not _is_cache(name)]
            yield from (here / name for name in names)
    else:
        yield from (Path(os.fsdecode(name)) for name in git.stdout.split(b"\0") if name)
