"""environment.sh, which `make` makes its environment with: which Python it takes. Pythons and uv are stand-ins."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "cp", "dirname", "ln", "mkdir", "mktemp", "rm", "touch")

PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) echo "{version} {home}" ;;
"-m venv") {venv}; mkdir -p "$4/bin"; ln -s "$0" "$4/bin/python" ;;
"-m pip") cp {uv} "$(dirname "$0")/uv" ;;
esac
"""
UV = """#!/bin/sh
echo "$*" >> {log}
case $1 in
venv)
    mkdir "$6" "$6/bin" || exit 1
    touch "$6/pyvenv.cfg"
    case $5 in */*) ln -s "$5" "$6/bin/python" ;; *) ln -s "{own}/python$5" "$6/bin/python" ;; esac
    ;;
esac
"""


class Machine:
    """A project's folder, and a PATH with nothing on it but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin, self.own, self.log = (folder / name for name in ("project", "bin", "own", "log"))
        for made in (self.project, self.bin, self.own, folder / "tools", folder / "temporary"):
            made.mkdir()
        for name in TOOLS:
            (folder / "tools" / name).symlink_to(shutil.which(name))
        for name in ("environment.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.project)
        self.environment = {"PATH": f"{self.bin}:{folder / 'tools'}", "TMPDIR": str(folder / "temporary")}
        self.uv = self._put(folder / "uv", UV.format(log=self.log, own=self.own))
        self.python("python3.13", "3.13", self.own)  # uv's own

    def _put(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o755)
        return path

    def with_uv(self) -> "Machine":
        shutil.copy(self.uv, self.bin)
        return self

    def python(self, name: str, version: str | None, folder: Path | None = None, venv: str = ":") -> str:
        """One that says it is of a version; with None one that does not run, as pyenv leaves them."""
        path = (folder or self.bin) / name
        text = PYTHON.format(version=version, home=path, uv=self.uv, venv=venv)
        return str(self._put(path, text if version else "#!/bin/sh\nexit 127\n"))

    def make(self, asked: str = "") -> subprocess.CompletedProcess[str]:
        command = [shutil.which("sh"), "environment.sh", ".venv", asked]
        return subprocess.run(command, cwd=self.project, env=self.environment, capture_output=True, text=True)

    def done(self) -> list[str]:
        """What uv was called for since this was last asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return [line for line in lines if line != "--version"]

    def made_of(self, asked: str = "") -> str | None:
        """The Python of which an environment was made now, if one was; whatever was done, installing was its end."""
        made = self.make(asked)
        assert made.returncode == 0, made.stderr
        *venv, install = self.done()
        assert re.fullmatch(r"pip install .*--constraint constraints.txt uv --editable \.\[dev\]", install)
        return re.fullmatch(r"venv --quiet --seed --python (\S+) \.venv", *venv)[1] if venv else None


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3": "3.11", "python3.11": "3.11", "python3.12": "3.12", "python3.13": "3.13"}, "python3.13"),
        ({"python3": "3.13", "python3.12": "3.12"}, "python3.12"),
        ({"python3": "3.12"}, "python3"),
        ({"python3": "3.10", "python3.10": "3.10", "python3.11": "3.11"}, "python3.11"),
        ({"python3": "3.14", "python3.14": "3.14", "python3.11": "3.11"}, "python3.11"),
        ({"python3": "3.14", "python3.14": "3.14"}, "python3.14"),
        ({"python3.13": None, "python3.12": None, "python3.11": "3.11"}, "python3.11"),
        ({"python3.13": "3.10", "python3.12": "3.12"}, "python3.12"),
    ],
)
def test_the_newest_that_fits_and_runs_is_taken(machine, there, taken):
    for name, version in there.items():
        machine.python(name, version)
    assert machine.with_uv().made_of() == str(machine.bin / taken)


@pytest.mark.parametrize("there", [{}, {"python3": "3.10"}, {"python3": "3.15", "python3.15": "3.15"}])
def test_where_none_fits_uv_brings_one(machine, there):
    for name, version in there.items():
        machine.python(name, version)
    assert machine.with_uv().made_of() == "3.13"


def test_uv_itself_is_brought_by_any_python_and_nothing_is_left_of_that(machine):
    machine.python("python3", "3.8")
    assert machine.made_of() == "3.13"
    assert list(Path(machine.environment["TMPDIR"]).iterdir()) == []


def test_uv_is_brought_by_another_where_the_one_that_is_taken_makes_no_environments(machine):
    machine.python("python3.12", "3.12", venv="exit 1")
    machine.python("python3", "3.9")
    assert machine.made_of() == str(machine.bin / "python3.12")


@pytest.mark.parametrize("there", [False, True])
def test_where_nothing_can_bring_uv_it_is_said_how_to_get_it(machine, there):
    if there:
        machine.python("python3", "3.13", venv="exit 1")  # Debian's, without python3-venv
    refused = machine.make()
    assert refused.returncode == 1
    assert "install uv by your system's packages or its own installer, or python3-venv" in refused.stderr
    assert not (machine.project / ".venv").exists()
    assert list(Path(machine.environment["TMPDIR"]).iterdir()) == []


def test_the_one_that_is_asked_for_is_taken(machine):
    machine.python("python3.13", "3.13")
    other = machine.python("mine", "3.11")
    assert machine.with_uv().made_of("mine") == other
    assert machine.make(other).returncode == 0
    assert machine.done() == []


@pytest.mark.parametrize(("version", "said"), [("3.10", "3.10"), ("3.15", "3.15"), (None, "none that runs")])
def test_one_that_does_not_fit_is_refused_in_a_sentence_and_nothing_is_touched(machine, version, said):
    machine.with_uv().made_of(machine.python("python3.12", "3.12"))
    other = machine.python("mine", version)
    refused = machine.make(other)
    assert refused.returncode == 1
    assert refused.stderr == f"PYTHON must be Python 3.11 to 3.14, and {other} is {said}.\n"
    assert machine.done() == []
    assert (machine.project / ".venv" / ".ready").exists()


def test_an_environment_is_kept_while_it_is_of_the_python_that_is_asked_for_and_made_anew_for_another(machine):
    old, new = machine.python("python3.12", "3.12"), machine.python("python3.13", "3.13")
    assert machine.with_uv().made_of(old) == old
    for asked in ("", old):
        assert machine.make(asked).stdout == ""
        assert machine.done() == []
    said = machine.make(new)
    assert said.stdout == f".venv is made anew, of Python {new}\n"
    assert machine.done()[0].startswith("venv")
    assert machine.made_of(old) == old
    Path(old).unlink()  # as an upgrade of the system does
    assert machine.made_of() == new


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_what_it_is_made_from_has_changed(machine, name):
    machine.python("python3.12", "3.12")
    machine.with_uv().made_of()
    (machine.project / name).touch()
    assert machine.made_of() is None
    assert machine.make().returncode == 0
    assert machine.done() == []


def test_a_folder_that_is_no_environment_is_left_alone(machine):
    machine.python("python3.12", "3.12")
    (machine.project / ".venv").mkdir()
    (machine.project / ".venv" / "thesis.tex").touch()
    assert machine.with_uv().make().returncode == 1
    assert (machine.project / ".venv" / "thesis.tex").exists()


def test_make_hands_on_the_python_that_is_asked_for():
    command = ["make", "--dry-run", "test", "VENV=other", "PYTHON=python3.12"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make may run the tests
    said = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=True).stdout
    environment, tests = said.splitlines()
    assert environment == "sh environment.sh other python3.12"
    assert tests.startswith("other/bin/pytest ")


def test_all_files_agree_on_which_pythons_fit():
    allowed = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    fitting = [f"3.{minor}" for minor in range(30) if f"3.{minor}.5" in allowed]
    script = (ROOT / "environment.sh").read_text()
    assert sorted(re.search(r'^versions="(.*?)"', script, re.M)[1].split()) == fitting
    assert re.search(r'allowed="(.*?)"', script)[1] == f"{fitting[0]} to {fitting[-1]}"
    for name in ("Makefile", "README.md", "docs/cluster.md"):
        assert f"{fitting[0]} to {fitting[-1]}" in (ROOT / name).read_text()
    assert re.search(r"uv venv .*--python (\S+)", (ROOT / "cluster.yaml").read_text())[1] in fitting
    assert f"--python-version {fitting[0]} " in (ROOT / "Makefile").read_text()  # what the pins hold from
