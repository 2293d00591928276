"""The Dockerfile, read: no image is built here. What is installed in it is tried in tests/test_wheel.py."""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sweeps.jobs.kuberay import USER_ID

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", "").splitlines() if line and not line.startswith("#")]


def told(instruction):
    return [line.partition(" ")[2] for line in LINES if line.split()[0] == instruction]


def test_it_is_slim_pinned_and_nobody_is_root():
    assert told("FROM") == ["python:${PYTHON}-slim"]
    (python,) = (one.partition("=")[2] for one in told("ARG") if one.startswith("PYTHON="))
    versions = re.search(r'^versions="(.*?)"', (ROOT / "environment.sh").read_text(), re.M)[1].split()
    assert python == versions[0]  # the one that is taken first elsewhere too
    needed, own = (line for line in told("RUN") if "uv pip install" in line)
    assert "--constraint constraints.txt --requirement pyproject.toml" in needed
    assert "--no-deps ." in own
    assert [int(user) for user in told("USER")] == [USER_ID]
    assert f"useradd --uid {USER_ID} " in TEXT
    assert LINES.index("USER 1000") > max(i for i, line in enumerate(LINES) if line.startswith("RUN"))


def test_torch_is_with_cuda_or_without_by_an_argument(tmp_path):
    assert "TORCH_BACKEND=" in told("ARG")
    (needed,) = (line for line in told("RUN") if "--requirement" in line)
    for backend, expected in (("", []), ("cpu", ["--torch-backend=cpu"])):
        shown = needed.replace("uv pip install", "printf '%s\\n'")
        words = subprocess.run(["sh", "-c", shown], env={"TORCH_BACKEND": backend}, capture_output=True, text=True)
        assert [word for word in words.stdout.splitlines() if "torch" in word] == expected


def test_uv_knows_each_option():
    uv = Path(sys.executable).with_name("uv")
    known = subprocess.run([uv, "pip", "install", "--help"], capture_output=True, text=True, check=True).stdout
    options = {one for line in told("RUN") if "uv pip install" in line for one in re.findall(r"--[a-z-]+", line)}
    assert {"--torch-backend", "--constraint"} <= options
    assert {one for one in options - {"--version"} if one not in known} == set()


def test_what_it_copies_is_here_and_not_ignored_and_nothing_else_is_sent():
    copied = {name for line in told("COPY") for name in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert not any(fnmatch.fnmatch("x/.git", line) for line in ignored if line.startswith("!"))


@pytest.mark.parametrize("program", ["boto3"])
def test_what_the_other_clusters_have_too_is_of_the_same_version(program):
    pinned = re.search(
        rf"{program}==\S+", yaml.safe_dump(yaml.safe_load((ROOT / "cluster.yaml").read_text()), width=999)
    )
    assert re.search(rf"{program}==\S+", TEXT)[0] == pinned[0]
