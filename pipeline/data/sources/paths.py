"""Paths as tables and lists have them, which may be those of another machine."""

import os
from pathlib import Path, PureWindowsPath


def of_windows(folder: Path, name: str) -> str | None:
    r"""Returns what a path that was written on Windows is here, relative to `folder`: one like heron\1.jpg with other
    separators, one like C:\data\heron\1.jpg by its longest ending that exists below the folder. Returns None for a
    path without a backslash, for one that is here as it is, and for one that nothing here answers to.
    """
    if "\\" not in name or os.path.lexists(folder / name):
        return None
    path = PureWindowsPath(name)
    parts = path.parts[1:] if path.anchor else path.parts
    if ".." in parts:
        return None
    for first in range(len(parts) if path.anchor else 1):
        ending = os.path.join(*parts[first:]) if parts[first:] else ""
        if ending and os.path.isfile(folder / ending):
            return ending
    return None
