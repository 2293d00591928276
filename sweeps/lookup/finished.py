"""Which finished sweep of a home is meant, by its ID, by how that begins, by its name, or by its age."""

from pipeline.storage.folder import Home
from sweeps.schema.lines import on_a_line

SWEEPS = "sweeps"  # the folder of a home that holds a folder for each sweep


def chosen_sweep(home: Home, wanted: str | None, file: str) -> str:
    """Returns the ID of the sweep that is meant, which has left `file`; the newest where `wanted` is None. Raises
    ValueError where there is none, or none that has finished.
    """
    ids = [name for name in home.folders(SWEEPS) if not name.startswith(".")]
    left = {name: f"{SWEEPS}/{name}/{file}" for name in ids if home.has(f"{SWEEPS}/{name}/{file}")}
    if wanted is None:
        if not left:
            raise ValueError(f"home must hold a finished sweep but {home.uri!r} has none; fpt sweep makes one")
        return max(left, key=lambda name: _changed(home, left[name]))
    meant = [name for name in ids if name.startswith(wanted)]
    if len(meant) != 1:
        there = f"one of {', '.join(meant or ids)}" if ids else "that of a sweep"
        said = f"begins {len(meant)} of them" if meant else "is none of them" if ids else "is none: there are no sweeps"
        raise ValueError(f"ID must be {there} in {home.uri!r} but {on_a_line(repr(wanted))} {said}")
    if meant[0] not in left:
        raise ValueError(
            f"ID must be that of a finished sweep but {meant[0]!r} has no finding yet; the same fpt sweep command goes "
            "on with it"
        )
    return meant[0]


def _changed(home: Home, name: str) -> int:
    """Returns when a file was last written, 0 where its store does not tell."""
    return home.filesystem.get_file_info(f"{home.root}/{name}").mtime_ns or 0
