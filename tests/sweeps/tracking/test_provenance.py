import os
import platform
import subprocess

import mlflow
import pytest
import ray
import torch

from pipeline.identity import METHOD_VERSION, Found
from pipeline.opening import IN_JOB
from sweeps.tracking import provenance
from sweeps.tracking.provenance import code_tags, commit_of, environment_tags


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout that holds code and a note, and what runs git in it."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    (root / "fpt").mkdir(parents=True)

    def git(*arguments):
        own = ["-c", "user.name=me", "-c", "user.email=me@host", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", str(root), *own, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (root / "fpt" / "code.py").write_text("1")
    (root / "note.md").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return root, git


def test_the_commit_of_a_checkout_and_whether_its_code_was_changed(checkout):
    root, git = checkout
    commit = git("rev-parse", "HEAD")
    assert commit_of(root) == (commit, False)
    (root / "note.md").write_text("2")
    assert commit_of(root) == (commit, False)
    (root / "fpt" / "code.py").write_text("2")
    assert commit_of(root) == (commit, True)
    git("commit", "-q", "-a", "-m", "second")
    assert commit_of(root) == (git("rev-parse", "HEAD"), False)
    (root / "fpt" / "more.py").write_text("3")
    assert commit_of(root)[1] is True


def test_somebody_elses_checkout_is_not_ours(checkout):
    root, _ = checkout
    (root / "env" / "fpt").mkdir(parents=True)
    (root / "env" / "fpt" / "code.py").write_text("1")
    assert commit_of(root / "env") is None


def test_without_git_or_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    assert commit_of(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(provenance.ROOT) is None


@pytest.mark.parametrize(("dirty", "mark"), [(False, ""), (True, "+")])
def test_code_by_mlflows_names(monkeypatch, dirty, mark):
    monkeypatch.setattr(provenance, "commit_of", lambda root: ("0123456789abcdef", dirty))
    monkeypatch.setattr(provenance, "_version", lambda package: "1.2")
    monkeypatch.setattr(provenance.getpass, "getuser", lambda: "me")
    monkeypatch.delenv(IN_JOB, raising=False)
    assert code_tags("sweep") == {
        "mlflow.source.name": "fpt sweep",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": "0123456789abcdef",
        "mlflow.source.git.dirty": str(dirty).lower(),
        "mlflow.user": "me",
        "fpt.version": f"1.2 01234567{mark}",
        "fpt.method": str(METHOD_VERSION),
    }


def test_what_is_not_known_of_the_code_is_left_out(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(provenance, "commit_of", lambda root: None)
    monkeypatch.setattr(provenance.getpass, "getuser", nobody)
    monkeypatch.setenv(IN_JOB, "{}")
    tags = code_tags("table")
    assert set(tags) == {"mlflow.source.name", "mlflow.source.type", "fpt.version", "fpt.method"}
    assert tags["mlflow.source.type"] == "JOB"


def test_the_environment_is_what_is_imported():
    tags = environment_tags(Found("images", "weights", "float32", "NVIDIA H100", 64, 6, True, {}))
    assert tags["env.python"] == platform.python_version()
    assert (tags["env.ray"], tags["env.mlflow"]) == (ray.__version__, mlflow.__version__)
    assert tags["env.torch"] == torch.__version__.split("+")[0]
    assert {"env.timm", "env.optuna", "env.platform"} < set(tags)
    assert tags["env.device"] == "NVIDIA H100"
