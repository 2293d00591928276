"""What kind of disk a path lies on."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.", "9p", "afs", "wekafs")


def kind_of_disk(path: Path) -> str | None:
    """Returns the name of the file system that a path lies on, there or not yet, None where that cannot be told."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return None
    place = os.path.realpath(path)
    # A mount point's spaces are written \040, and so on.
    mounts = [(one[1].encode().decode("unicode_escape", "replace"), one[2]) for one in map(str.split, lines)]
    above = [(point, kind) for point, kind in mounts if place == point or place.startswith(f"{point.rstrip('/')}/")]
    return max(above, key=lambda one: len(one[0]), default=(None, None))[1]


def is_on_network(path: Path) -> bool:
    """Returns whether a path lies on a disk that machines share, as far as that can be told."""
    return (kind_of_disk(path) or "").startswith(NETWORK)
