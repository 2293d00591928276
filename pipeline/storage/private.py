"""A job's folder on a node is its owner's alone."""

import os
from contextlib import suppress
from pathlib import Path

UNPACKED = "working_dir_files"  # where Ray unpacks the folders of jobs


def keep_private(folder: Path) -> None:
    """Lets nobody but its owner into a folder that Ray has unpacked for a job, where that can be had; any other folder
    stays as it is.
    """
    if folder.parent.name == UNPACKED:
        with suppress(OSError):  # somebody else's, or a disk without permissions
            os.chmod(folder, 0o700)
