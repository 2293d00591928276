import errno
import os
from pathlib import Path

import fsspec
import pytest

from pipeline.storage import folder as storage
from pipeline.storage.folder import Folder, Home, NoRoomError, cache_folder


@pytest.fixture(params=["disk", "file URI", "object store"])
def folder(request, tmp_path: Path):
    """The same contract wherever it is; fsspec's store in memory stands for a bucket."""
    if request.param == "object store":
        yield Folder("memory://bucket/home")
        fsspec.filesystem("memory").store.clear()
    else:
        yield Folder(str(tmp_path / "home") if request.param == "disk" else (tmp_path / "home").as_uri())


def test_what_was_written_is_read(folder):
    assert (folder.has("rows/a"), folder.read("rows/a"), folder.names("rows")) == (False, None, [])
    folder.write("rows/b", b"old")
    folder.write("rows/b", memoryview(b"two"))
    folder.write("rows/a", b"one")
    assert (folder.has("rows/a"), folder.read("rows/a"), folder.read("rows/b")) == (True, b"one", b"two")
    assert folder.names("rows") == ["a", "b"]
    folder.delete("rows/a")
    assert folder.names("rows") == ["b"]


def test_files_go_in_and_out(folder, tmp_path):
    (tmp_path / "here").write_bytes(bytes(range(256)) * 5000)
    folder.put(tmp_path / "here", "images/big")
    folder.fetch("images/big", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "here").read_bytes()


def test_a_folder_on_a_disk_is_a_path_and_another_is_none(folder, tmp_path):
    assert folder.here in (None, tmp_path / "home")
    assert (folder.here is None) == folder.uri.startswith("memory://")


def test_a_path_means_the_same_wherever_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Folder("runs").uri == str(tmp_path / "runs")


@pytest.mark.parametrize(
    ("uri", "below"),
    [
        ("/some/runs", "/some/runs/ledger"),
        ("/why?/not#", "/why?/not#/ledger"),
        ("memory://bucket/home/", "memory://bucket/home/ledger"),
        (
            "s3://bucket/fpt?endpoint_override=h:9000&scheme=http",
            "s3://bucket/fpt/ledger?endpoint_override=h:9000&scheme=http",
        ),
    ],
)
def test_what_lies_in_a_folder_has_a_uri(uri, below):
    assert Folder(uri).uri_of("ledger") == below
    assert Folder(below).root == f"{Folder(uri).root}/ledger"


@pytest.mark.parametrize("uri", ["nothing://bucket/path", "s4://bucket"])
def test_what_is_no_folder_is_refused(uri):
    with pytest.raises(ValueError, match=f"^home must be a folder or a URI like s3://bucket/path but got '{uri}': "):
        Folder(uri)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_what_there_was(tmp_path, monkeypatch, number):
    folder = Folder(str(tmp_path))
    folder.write("rows/a", b"old")

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoomError, match=r"home must have room for results but writing .*rows/a failed") as said:
        folder.write("rows/a", b"new")
    assert "\n" not in str(said.value)
    assert folder.read("rows/a") == b"old"
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["a"]


def test_another_fault_of_a_disk_is_one_sentence_too(tmp_path):
    (tmp_path / "rows").write_text("no folder")
    with pytest.raises(OSError, match=r"exists|Not a directory") as said:
        Folder(str(tmp_path)).write("rows/a", b"")
    told = f"home must be a folder that can be written to but writing {tmp_path / 'rows' / 'a'} failed ("
    assert said.value.strerror.startswith(told)
    assert said.value.strerror.endswith("); all that was written before is whole, and the same command goes on")


def test_reports_are_made_on_a_disk_and_kept_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    for uri in ("memory://bucket/home", str(tmp_path / "home")):
        home = Home(uri)
        assert home.local.is_relative_to(tmp_path)
        report = home.local / "sweeps" / "abc" / "report.md"
        report.parent.mkdir(parents=True)
        report.write_text(uri)
        home.keep([report])
        assert home.read("sweeps/abc/report.md") == uri.encode()
    fsspec.filesystem("memory").store.clear()


def test_the_cache_is_where_a_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv("FPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fpt"
    monkeypatch.setenv("FPT_CACHE", "/elsewhere")
    assert storage.cache_folder() == Path("/elsewhere")


def test_a_home_is_where_a_shell_would_have_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home("~/fpt-runs").local == Home("$HOME/fpt-runs").local == tmp_path / "fpt-runs"
    with pytest.raises(ValueError, match=r"^home must name environment variables that are set, but NOWHERE in"):
        Home("$NOWHERE/runs")


@pytest.mark.parametrize("name", ["a?b", "100%20x", "a #2", "ä b", "x$y", "a&b=c"])
def test_a_home_may_have_any_name(name, tmp_path):
    (tmp_path / name).mkdir()
    home = Home(str(tmp_path / name))
    inner = Folder(home.uri_of("ledger"))
    inner.write("a.txt", b"one")
    assert (tmp_path / name / "ledger" / "a.txt").read_bytes() == inner.read("a.txt") == b"one"
