"""What of a folder travels to a cluster."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps.jobs.upload import stage, travelling

KEPT = ["code.py", "fpt/glyphs/data/weights.safetensors", "sweeps/configs/one.yaml", "environment/notes.txt"]
LEFT = [
    ".git/HEAD",
    ".venv/bin/python",
    "deep/venv/bin/python",
    "env/pyvenv.cfg",
    ".env",
    "runs/ledger/rows.bin",
    "data/images.bin",
    "mlruns/0/meta.yaml",
    ".mypy_cache/x.json",
    "deep/__pycache__/x.pyc",
    "deep/node_modules/x.js",
    "deep/images.arrow",
    "deep/rows.parquet",
    "mlflow.db",
    ".gitignore",
    "deep/.rayignore",
]


def filled(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def travels(folder, config="sweeps/configs/one.yaml"):
    return sorted(path.as_posix() for path in travelling(folder, Path(config)))


def test_results_data_and_environments_stay_here(tmp_path):
    filled(tmp_path, [*KEPT, *LEFT])
    assert travels(tmp_path) == sorted(KEPT)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_in_a_repository_what_git_ignores_stays_here(tmp_path):
    filled(tmp_path, [*KEPT, *(name for name in LEFT if not name.startswith(".git")), "ignored.txt", "new.txt"])
    (tmp_path / ".gitignore").write_text("ignored.txt\nweights.safetensors\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=one", "-c", "user.email=one@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "--force", "fpt", "code.py"], check=True)
    assert travels(tmp_path) == sorted([*KEPT, "new.txt"])
    (tmp_path / "code.py").unlink()
    assert "code.py" not in travels(tmp_path)


def test_the_configuration_travels_wherever_it_lies(tmp_path):
    filled(tmp_path, ["code.py", "runs/sweeps/1/best.yaml", "runs/sweeps/1/other.yaml"])
    assert travels(tmp_path, "runs/sweeps/1/best.yaml") == ["code.py", "runs/sweeps/1/best.yaml"]


def test_exactly_what_travels_is_staged(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    filled(here, [*KEPT, *LEFT])
    stage(here, travelling(here, Path("sweeps/configs/one.yaml")), there)
    staged = {path.relative_to(there).as_posix(): path.read_text() for path in there.rglob("*") if path.is_file()}
    assert staged == {name: name for name in KEPT}


def test_too_much_is_refused_with_its_largest_entries(tmp_path):
    filled(tmp_path, KEPT)
    for name, mib in {"big/one.bin": 60, "big/two.bin": 30, "middle.bin": 8, "small.bin": 4, "tiny.bin": 1}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(mib * 2**20)
    with pytest.raises(ValueError, match=r"at most 100 MiB .* holds 103\.0 MiB") as refused:
        travels(tmp_path)
    assert "big (90.0 MiB), middle.bin (8.0 MiB), small.bin (4.0 MiB)" in str(refused.value)
    assert "tiny.bin" not in str(refused.value)
    (tmp_path / "middle.bin").unlink()
    assert len(travels(tmp_path)) == len(KEPT) + 4
