"""Installed and not cloned: a wheel holds all that the program reads, and does in any folder what a checkout does."""

import json
import subprocess
import zipfile

import pytest

from tests.installed import PACKAGES, ROOT, built_wheel, installed, plain_environment
from tests.sweeps.tiny import TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file())
    expected = {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert names == expected
    kinds = {name.rpartition(".")[2] for name in names}
    assert {"py", "yaml", "safetensors", "html", "css", "js", "sbatch"} <= kinds


@pytest.mark.timeout(900)
def test_a_shipped_configuration_is_swept_by_its_name_in_any_folder(wheel, tmp_path):
    python = installed(wheel, tmp_path / "environment")
    here = tmp_path / "here"
    here.mkdir()

    def typed(*arguments):
        command = [python.with_name("fpt"), *arguments]
        environment = plain_environment(tmp_path, FPT_CACHE=str(tmp_path / "cache"))
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    where = subprocess.run(
        [python, "-c", "import fpt, pipeline, sweeps; print(fpt.__file__, pipeline.__file__, sweeps.__file__)"],
        cwd=here,
        env=plain_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert all(file.startswith(f"{tmp_path}/environment/lib/") for file in where)

    swept = typed("sweep", "glyphs", "--json", *(f"--set={override}" for override in TINY))
    assert swept.returncode == 0, swept.stderr
    told = json.loads(swept.stdout.splitlines()[-1])
    report = here / told["report"]
    assert report.is_relative_to(here / "runs")
    assert report.is_file(), told
    doctor = typed("doctor", "glyphs")
    assert "glyphs: all fields are within their bounds" in doctor.stdout, doctor.stdout + doctor.stderr
