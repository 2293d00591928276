from pathlib import Path

from pipeline.storage.private import UNPACKED, keep_private


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_the_folder_of_a_job_is_its_owners_alone(tmp_path, monkeypatch):
    job, other = tmp_path / UNPACKED / "_ray_pkg_1", tmp_path / "elsewhere" / "_ray_pkg_1"
    for folder in (job, other):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        keep_private(folder)
    assert (mode(job), mode(other)) == (0o700, 0o755)


def test_a_folder_that_cannot_be_changed_is_left(tmp_path):
    keep_private(tmp_path / UNPACKED / "gone")
