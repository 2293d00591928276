import pytest

from pipeline.storage import mounts
from pipeline.storage.mounts import is_on_network, kind_of_disk

TABLE = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/export /mnt/shared\\040home nfs4 rw 0 0
fs /mnt/shared\\040home/local xfs rw 0 0
fuse /scratch fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/home/me/runs", "ext4", False),
        ("/dev/shm/x", "tmpfs", False),
        ("/mnt/shared home/runs", "nfs4", True),
        ("/mnt/shared home/local/runs", "xfs", False),
        ("/mnt/shared homes", "ext4", False),
        ("/scratch", "fuse.sshfs", True),
    ],
)
def test_a_path_lies_on_the_nearest_mount_above_it(path, kind, shared, tmp_path, monkeypatch):
    (tmp_path / "mounts").write_text(TABLE)
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    assert kind_of_disk(mounts.Path(path)) == kind
    assert is_on_network(mounts.Path(path)) == shared


def test_where_no_mounts_are_told_nothing_is_said_to_be_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert kind_of_disk(tmp_path) is None
    assert not is_on_network(tmp_path)
