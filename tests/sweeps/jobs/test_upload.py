"""What of a folder travels to a cluster."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps.jobs.upload import DOT, KEY, LINK, OUT, UNTRACKED, stage, travelling

KEPT = [
    "code.py",
    "fpt/glyphs/__init__.py",
    "fpt/glyphs/data/classes.json",
    "fpt/glyphs/data/weights.safetensors",
    "sweeps/configs/one.yaml",
    "environment/notes.txt",
]
LEFT = [
    ".git/HEAD",
    ".venv/bin/python.py",
    "deep/venv/bin/python.py",
    "env/pyvenv.cfg",
    ".env",
    ".aws/credentials",
    "runs/ledger/rows.txt",
    "data/images.txt",
    "mlruns/0/meta.yaml",
    ".mypy_cache/x.py",
    "deep/__pycache__/x.py",
    "deep/node_modules/x.md",
    "deep/images.arrow",
    "deep/rows.parquet",
    "mlflow.db",
    ".gitignore",
    "deep/.rayignore",
    "service.json",
    "deep/weights.safetensors",
    "photo.png",
]
KEYS = [
    "id_rsa",
    "id_ed25519",
    "deep/server.pem",
    "tls.key",
    "store.p12",
    "secrets.yaml",
    "my_credentials.txt",
    "Passwords.md.txt",
]


def filled(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def upload_of(folder, config="sweeps/configs/one.yaml", named=()):
    return travelling(folder, [Path(config)], named)


def travels(folder, config="sweeps/configs/one.yaml", named=()):
    return sorted(path.as_posix() for path in upload_of(folder, config, named).files)


def tracked(folder, *names):
    """Makes a repository of a folder, in which git tracks some files."""
    git = ["git", "-C", str(folder), "-c", "user.name=one", "-c", "user.email=one@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "--force", "--", *names], check=True)


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def test_without_git_code_alone_travels(tmp_path):
    filled(tmp_path, [*KEPT, *LEFT, *KEYS])
    assert travels(tmp_path) == sorted(KEPT)
    left = upload_of(tmp_path).left_out
    assert {".env", ".aws", ".gitignore", "deep/.rayignore"} <= set(left[DOT])
    assert {"secrets.yaml", "my_credentials.txt"} <= set(left[KEY])


@needs_git
def test_in_a_repository_what_git_tracks_travels_and_nothing_else(tmp_path):
    filled(tmp_path, [*KEPT, *(name for name in LEFT if not name.startswith(".git")), *KEYS, "ignored.txt", "new.py"])
    (tmp_path / ".gitignore").write_text("ignored.txt\n")
    tracked(tmp_path, "fpt", "code.py", "photo.png", ".env", ".aws", "runs", "deep", *KEYS)
    upload = upload_of(tmp_path)
    expected = ["code.py", "photo.png", "deep/weights.safetensors", "sweeps/configs/one.yaml"]
    assert travels(tmp_path) == sorted([*expected, *(name for name in KEPT if name.startswith("fpt"))])
    assert {".env", ".aws/credentials"} <= set(upload.left_out[DOT])
    assert sorted(upload.left_out[KEY]) == sorted(KEYS)
    assert "new.py" in upload.left_out[UNTRACKED]
    assert "ignored.txt" not in str(upload.left_out)
    (tmp_path / "code.py").unlink()
    assert "code.py" not in travels(tmp_path)


@pytest.mark.parametrize("in_git", [False, pytest.param(True, marks=needs_git)])
def test_a_key_is_known_by_what_is_in_it(tmp_path, in_git):
    filled(tmp_path, KEPT)
    (tmp_path / "notes.txt").write_text("for the server:\n-----BEGIN OPENSSH " + "PRIVATE KEY-----\n")
    (tmp_path / "fpt/glyphs/data/account.json").write_text('{"type": "x", "private_' + 'key": "y"}')
    (tmp_path / "secrets_of_the_trade.py").write_text("pass")
    if in_git:
        tracked(tmp_path, ".")
    assert travels(tmp_path) == sorted([*KEPT, "secrets_of_the_trade.py"])
    assert sorted(upload_of(tmp_path).left_out[KEY]) == ["fpt/glyphs/data/account.json", "notes.txt"]


@pytest.mark.parametrize("in_git", [False, pytest.param(True, marks=needs_git)])
def test_links_out_of_the_folder_and_to_what_stays_do_not_travel(tmp_path, in_git):
    here, there = tmp_path / "here", tmp_path / "there"
    filled(here, [*KEPT, ".env"])
    filled(there, ["passwords.txt", "inner/a.py"])
    links = {
        "out.txt": "../there/passwords.txt",
        "absolute.py": str(there / "passwords.txt"),
        "deep.py": "fpt/../../there/inner/a.py",
        "to_env.txt": ".env",
        "folder": "fpt",
        "outside": "../there/inner",
        "twice.txt": "out.txt",
        "gone.txt": "nothing",
        "good.py": "code.py",
        "fpt/glyphs/again.py": "../../code.py",
    }
    for name, target in links.items():
        (here / name).symlink_to(target)
    if in_git:
        tracked(here, ".")
    upload = upload_of(here)
    assert travels(here) == sorted([*KEPT, "good.py", "fpt/glyphs/again.py"])
    assert {"out.txt", "absolute.py", "deep.py", "twice.txt"} <= set(upload.left_out[OUT])
    assert {"to_env.txt", "folder"} <= set(upload.left_out[LINK])
    stage(here, upload.files, tmp_path / "staged")
    assert (tmp_path / "staged/good.py").read_text() == "code.py"
    assert not any(path.is_symlink() for path in (tmp_path / "staged").rglob("*"))


def test_a_configuration_that_is_a_link_out_is_refused(tmp_path):
    filled(tmp_path, ["here/code.py", "there/one.yaml"])
    (tmp_path / "here/one.yaml").symlink_to("../there/one.yaml")
    with pytest.raises(ValueError, match=r"^CONFIG must lie in the current folder.* one\.yaml is a link out of it$"):
        travels(tmp_path / "here", "one.yaml")


def test_the_configuration_travels_wherever_it_lies(tmp_path):
    filled(tmp_path, ["code.py", "runs/sweeps/1/best.yaml", "runs/sweeps/1/other.yaml"])
    assert travels(tmp_path, "runs/sweeps/1/best.yaml") == ["code.py", "runs/sweeps/1/best.yaml"]


@pytest.mark.parametrize("in_git", [False, pytest.param(True, marks=needs_git)])
def test_what_the_configuration_names_travels(tmp_path, in_git):
    images = ["data/photos/a/1.png", "data/photos/b/2.jpg", "data/photos/.hidden/3.png", "data/photos/a/id_rsa"]
    filled(tmp_path / "here", ["one.yaml", *images, "data/other/4.png", "w.pth", "p.arrow", "p.arrow.json"])
    filled(tmp_path, ["beside/5.png"])
    if in_git:
        tracked(tmp_path / "here", "one.yaml")
    named = ["data/photos", "w.pth", "./p.arrow", "../beside", "/etc", "s3://bucket/x", "~/x", "nowhere"]
    expected = ["data/photos/a/1.png", "data/photos/b/2.jpg", "one.yaml", "p.arrow", "p.arrow.json", "w.pth"]
    assert travels(tmp_path / "here", "one.yaml", named) == expected
    left = upload_of(tmp_path / "here", "one.yaml", named).left_out
    assert (left[OUT], left[KEY]) == (["../beside"], ["data/photos/a/id_rsa"])


def test_exactly_what_travels_is_staged(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    filled(here, [*KEPT, *LEFT, *KEYS])
    stage(here, upload_of(here).files, there)
    staged = {path.relative_to(there).as_posix(): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert staged == {name: name for name in KEPT}


def test_a_pipe_is_no_file(tmp_path):
    filled(tmp_path, KEPT)
    os.mkfifo(tmp_path / "pipe.py")
    assert travels(tmp_path) == sorted(KEPT)


def test_what_stays_is_told_by_reason_with_so_many_names(tmp_path):
    filled(tmp_path, [*KEPT, *(f".d{number}" for number in range(12))])
    (line,) = upload_of(tmp_path).told(most=3)
    assert line == "stays here, as their names begin with a dot: .d0, .d1, .d10 and 9 more"


def test_too_much_is_refused_with_its_largest_entries(tmp_path):
    filled(tmp_path, KEPT)
    for name, mib in {"big/one.md": 60, "big/two.md": 30, "middle.md": 8, "small.md": 4, "tiny.md": 1}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(mib * 2**20)
    with pytest.raises(ValueError, match=r"at most 100 MiB .* holds 103\.0 MiB") as refused:
        travels(tmp_path)
    assert "big (90.0 MiB), middle.md (8.0 MiB), small.md (4.0 MiB)" in str(refused.value)
    assert "tiny.md" not in str(refused.value)
    (tmp_path / "middle.md").unlink()
    assert len(travels(tmp_path)) == len(KEPT) + 4
