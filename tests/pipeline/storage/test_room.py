import errno
import os
import shutil

import pytest

from pipeline.storage import folder as folders
from pipeline.storage.folder import Home, NoRoomError
from pipeline.storage.room import LEAST_MIB, MIB, check_home, check_room, existing, free_bytes, is_full, writable


def with_free(monkeypatch, mebibytes):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=mebibytes * MIB))


def test_a_home_that_can_be_written_passes_and_is_as_before(tmp_path):
    home = Home(str(tmp_path / "new" / "home"))
    check_home(home)
    assert list((tmp_path / "new" / "home").iterdir()) == []


def test_a_home_in_a_bucket_is_tried_too(monkeypatch, tmp_path):
    monkeypatch.setenv("FPT_CACHE", str(tmp_path))
    home = Home("memory://probed/home")
    check_home(home)
    assert home.names("") == []


def test_what_cannot_be_written_is_told_with_its_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=rf"^home must be where files can be written but '{tmp_path}/file/x' is not: "):
        check_home(Home(str(tmp_path / "file" / "x")))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(
        ValueError, match=r"^home must have room for results but writing .* \(No space left on device\)"
    ):
        check_home(Home(str(tmp_path / "home")))
    assert list((tmp_path / "home").iterdir()) == []


def test_room_is_asked_for_with_some_to_spare(tmp_path, monkeypatch):
    with_free(monkeypatch, LEAST_MIB + 5)
    check_room(tmp_path / "not" / "yet", 5 * MIB, "home")
    said = rf"^home must have {LEAST_MIB + 6} MiB free but {tmp_path} has {LEAST_MIB + 5}; make room, or choose another"
    with pytest.raises(ValueError, match=said):
        check_room(tmp_path / "not" / "yet", 6 * MIB, "home")
    with_free(monkeypatch, LEAST_MIB - 1)
    with pytest.raises(ValueError, match=r"^home must have 100 MiB free but"):
        check_home(Home(str(tmp_path / "home")))


def test_a_folder_that_is_not_there_lies_on_the_disk_above(tmp_path):
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert free_bytes(tmp_path / "a") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert writable(tmp_path / "a")
    assert is_full(NoRoomError(errno.EDQUOT, os.strerror(errno.EDQUOT)))
    assert not is_full(PermissionError(errno.EACCES, "no"))
