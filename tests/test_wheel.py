"""Installed and not cloned: a wheel holds all that the program reads, and does in any folder what a checkout does."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeps.jobs.command import remote_command
from sweeps.jobs.kuberay import CONFIG_FILE, config_map, entrypoint, name_of_rayjob, pods_of, rayjob
from tests.installed import PACKAGES, ROOT, built_wheel, installed, plain_environment
from tests.pipeline.processes import descendants
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


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def ray_started(python, folder, environment, parameters):
    """Runs one node of Ray, as KubeRay makes it of a group's parameters, while the block runs."""
    ports = [f"--{name}={free_port()}" for name in ("dashboard-agent-listen-port", "runtime-env-agent-port")]
    told = [f"--{name}={value}" if value is not None else f"--{name}" for name, value in parameters.items()]
    command = [python, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1", *told, *ports]
    with (folder / "ray.log").open("ab") as log:
        node = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        own = descendants(node.pid)
        node.terminate()
        node.wait()
        for process in own:
            if Path(f"/proc/{process}").exists():
                os.kill(process, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_the_commands_of_a_pod_do_their_work_without_a_container(wheel, tmp_path):
    """KubeRay makes `ray start` of a group's parameters and of what its pod may take, and runs the entrypoint."""
    command = remote_command("sweep", ["glyphs", *(f"--set={one}" for one in TINY)], Path("glyphs"), list(TINY), {})
    pods = pods_of(command, 1, 0, 2, 4, "registry.example.org/fpt:1", None, "home", None)
    cluster = rayjob(command, pods, "name", "python")["spec"]["rayClusterSpec"]
    head, worker = cluster["headGroupSpec"]["rayStartParams"], cluster["workerGroupSpecs"][0]["rayStartParams"]
    (tmp_path / "config").mkdir()
    config = config_map(command, pods, name_of_rayjob(command))["data"][CONFIG_FILE]
    (tmp_path / "config" / CONFIG_FILE).write_text(config)
    python = installed(wheel, tmp_path / "environment")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fpt-") as short:
        environment = plain_environment(
            tmp_path,
            FPT_HOME=str(tmp_path / "home"),
            FPT_CACHE=str(tmp_path / "cache"),
            PATH=f"{python.parent}:/usr/bin:/bin",
            RAY_AUTH_MODE="token",  # as `authOptions` has it
            RAY_AUTH_TOKEN="a-token-of-this-test-alone",
            RAY_TMPDIR=short,
        )
        address = f"127.0.0.1:{port}"
        first = {
            "head": None,
            "port": port,
            "include-dashboard": "false",
            "ray-client-server-port": free_port(),
            **head,
        }
        with (
            ray_started(python, tmp_path, environment, first),
            ray_started(python, tmp_path, environment, {"address": address, "num-cpus": "2", **worker}),
        ):
            gather = [python, "-m", "pipeline.cluster.gathering", address, "2"]
            subprocess.run(gather, cwd=tmp_path, env=environment, check=True)
            shell = ["bash", "-c", entrypoint(command, "python", str(tmp_path / "config"))]
            job = {**environment, "RAY_ADDRESS": address}
            done = subprocess.run(shell, cwd=tmp_path, env=job, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "home" / "sweeps").glob("*/report.html")
    assert f"Read it: {report}" in done.stdout
