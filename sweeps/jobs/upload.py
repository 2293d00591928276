"""What of the current folder travels to a cluster: code, configurations and what CONFIG names. All else stays here."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 100 * 2**20  # bytes; Ray's server takes no more
MIB = 2**20

# Where git does not tell what belongs to the code, its suffix does; what a package reads beside its code is its data.
CODE = frozenset({".py", ".pyi", ".toml", ".yaml", ".yml", ".cfg", ".txt", ".md"})
PACKAGE_DATA = frozenset({".json", ".safetensors", ".html", ".css", ".js"})
RESULTS = frozenset({"runs", "data", "mlruns"})  # directly in the folder only: fpt/glyphs/data is part of the code
NEVER = frozenset({"venv", "env", "__pycache__", "node_modules"})
RESULT_SUFFIXES = frozenset({".arrow", ".parquet", ".db"})

KEY_FILE = re.compile(
    r"id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p8|p12|pfx|jks|keystore|kdbx|ppk|gpg|pgp|age|ovpn|tfstate)", re.IGNORECASE
)
NAMED_SECRET = re.compile(
    r".*(credential|secret|passw(or)?d|api[_-]?key|service[_-]?account|kubeconfig|netrc|htpasswd|pgpass|auth[_-]?token)",
    re.IGNORECASE,
)
# None of it matches itself.
KEY_INSIDE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY|\"private_key\"\s*:|PuTTY-User-Key-[F]ile")
MOST_READ = 2**20  # bytes of a file that are looked into

# Why something stays here.
DOT, KEY, OUT, LINK, UNTRACKED = (
    "their names begin with a dot",
    "they hold keys, or are called as if they did",
    "they are links out of the folder, or lie outside of it",
    "they are links to what does not travel",
    "git does not track them",
)


@dataclass
class Upload:
    """An upload holds the `files` that travel, relative to the folder, with their sizes, and what is `left_out`: names
    by the reason why, where somebody may have meant them to travel.
    """

    files: dict[Path, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Returns the size of all files, in bytes."""
        return sum(self.files.values())

    def leave(self, path: Path, why: str) -> None:
        self.left_out.setdefault(why, []).append(path.as_posix())

    def told(self, most: int) -> list[str]:
        """Returns a sentence for each reason, with at most so many names."""
        lines = []
        for why, names in sorted(self.left_out.items()):
            more = f" and {len(names) - most} more" if len(names) > most else ""
            lines.append(f"stays here, as {why}: {', '.join(sorted(names)[:most])}{more}")
        return lines


def travelling(folder: Path, configs: Collection[Path], named: Collection[str] = ()) -> Upload:
    """Returns what travels: the files that git tracks in the folder (where git cannot tell, those with suffixes of
    code), `configs` wherever they lie in the folder, and the files and folders that these name (`named`), where they
    are relative to the folder.

    Dot-files, keys, and links to what does not travel stay here. Raises ValueError for more than LIMIT bytes, and for
    one of `configs` that is a link out of the folder.
    """
    root, upload = folder.resolve(), Upload()
    for config in configs:
        if not (folder / config).resolve().is_relative_to(root):
            raise ValueError(
                f"CONFIG must lie in the current folder, which is what travels, but {config.as_posix()} is a link out "
                "of it"
            )
    tracked = _tracked(folder)
    listed = set(_code(folder, upload) if tracked is None else filter(_is_code, tracked))
    asked = _named(folder, root, named, upload)
    files = {path for path in {*listed, *asked} if _may_travel(root, folder, path, upload)}
    links = {path for path in files if (root / path).resolve() != root / path}
    real = {path.resolve() for path in (root / one for one in files - links)}
    for path in links:
        if (root / path).resolve() not in real:
            files.remove(path)
            upload.leave(path, LINK)
    upload.files = {path: (folder / path).stat().st_size for path in sorted({*files, *configs})}
    if tracked is not None:
        for path in _others(folder):
            if path not in upload.files and path.suffix in CODE and _is_code(path):
                upload.leave(path, UNTRACKED)
    _check_size(upload)
    return upload


def stage(folder: Path, files: Iterable[Path], target: Path) -> None:
    """Copies files to another folder, so that exactly they are uploaded."""
    for path in files:
        (target / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile((folder / path).resolve(), target / path)


def _check_size(upload: Upload) -> None:
    if upload.size <= LIMIT:
        return
    entries: Counter[str] = Counter()
    for path, size in upload.files.items():
        entries[path.parts[0]] += size
    largest = ", ".join(f"{name} ({size / MIB:.1f} MiB)" for name, size in entries.most_common(3))
    raise ValueError(
        f"the current folder must hold at most {LIMIT // MIB} MiB to travel but holds {upload.size / MIB:.1f} MiB, "
        f"most of it in {largest}; what git does not track stays here, and images travel better as s3:// or on a disk "
        "that all nodes share"
    )


def _may_travel(root: Path, folder: Path, path: Path, upload: Upload) -> bool:
    """Returns whether a file may travel at all; what may not is noted."""
    real = (root / path).resolve()
    if any(part.startswith(".") for part in path.parts):
        upload.leave(path, DOT)
    elif not real.is_relative_to(root):
        upload.leave(path, OUT)
    elif real.is_dir() and (folder / path).is_symlink():
        upload.leave(path, LINK)
    elif not real.is_file():
        return False  # deleted, or no file
    elif _is_key(path) or _is_key(real) or _holds_key(real):
        upload.leave(path, KEY)
    else:
        return True
    return False


def _is_key(path: Path) -> bool:
    written = path.suffix in (".py", ".pyi", ".md")  # about secrets, not secrets
    return bool(KEY_FILE.fullmatch(path.name) or (not written and NAMED_SECRET.match(path.name)))


def _holds_key(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(KEY_INSIDE.search(file.read(MOST_READ)))


def _is_code(path: Path) -> bool:
    """Returns whether a file is neither a result nor part of an environment, by its path."""
    *folders, _ = path.parts
    return not (path.parts[0] in RESULTS or NEVER & set(folders) or path.suffix in RESULT_SUFFIXES)


def _tracked(folder: Path) -> list[Path] | None:
    """Returns the files that git tracks in the folder; None outside of a checkout."""
    return _git(folder, "--cached", "--recurse-submodules")


def _others(folder: Path) -> list[Path]:
    """Returns the files that git neither tracks nor ignores."""
    return _git(folder, "--others", "--exclude-standard") or []


def _git(folder: Path, *which: str) -> list[Path] | None:
    try:
        git = subprocess.run(["git", "-C", str(folder), "ls-files", "-z", *which], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [Path(os.fsdecode(name)) for name in git.stdout.split(b"\0") if name]


def _code(folder: Path, upload: Upload) -> Iterator[Path]:
    """Yields the files that have a suffix of code, or of what a package reads beside its code."""
    for here, name in _walked(folder, folder, upload):
        path, in_package = (
            here / name,
            any((folder / above / "__init__.py").exists() for above in (here, *here.parents)),
        )
        if _is_code(path) and (path.suffix in CODE or (in_package and path.suffix in PACKAGE_DATA)):
            yield path


def _named(folder: Path, root: Path, named: Collection[str], upload: Upload) -> Iterator[Path]:
    """Yields the files that a configuration names, and those in folders that it names."""
    for name in named:
        if "://" in name or name.startswith("~") or Path(name).is_absolute():
            continue  # the cluster's own
        place = folder / name
        if not place.resolve().is_relative_to(root):
            upload.leave(Path(name), OUT)
        elif place.is_dir():
            yield from (above / inner for above, inner in _walked(place, folder, upload))
        else:
            path = Path(os.path.relpath(place, folder))
            yield from (one for one in (path, Path(f"{path}.json")) if (folder / one).is_file())


def _walked(top: Path, folder: Path, upload: Upload) -> Iterator[tuple[Path, str]]:
    """Yields folder (relative) and name of each file below `top`, links to folders not followed; what begins with a dot
    and is not of the usual tools is noted.
    """
    for parent, folders, names in os.walk(top):
        here = Path(os.path.relpath(parent, folder))
        for name in [name for name in folders if (Path(parent) / name).is_symlink()]:
            upload.leave(here / name, LINK)
        for name in [name for name in folders if name.startswith(".") and name not in (".git", ".venv", ".cache")]:
            if not name.endswith("_cache"):
                upload.leave(here / name, DOT)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NEVER]
        if here == Path() and top == folder:
            folders[:] = [name for name in folders if name not in RESULTS]
        for name in sorted(names):
            if name.startswith("."):
                upload.leave(here / name, DOT)
            else:
                yield here, name
