"""The script that Slurm is given: what it asks for, and what a shell makes of it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps.jobs.command import remote_command
from sweeps.jobs.slurm_script import allocation_of, script_of, seconds_of

ODD = ['name=it\'s $(touch broken) `x` "y" 100%', "search.first={no prompts: {alpha: 0}}"]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Writes a script for nodes, GPUs and further options, in a folder with a space in its name."""
    folder = tmp_path / "my work 100%"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def written(nodes=1, gpus=0, cpus=None, gib=None, options=(), setup=(), sets=ODD, python="/opt/my env/python"):
        typed = ["glyphs", *(f"--set={one}" for one in sets)]
        command = remote_command("sweep", typed, Path("glyphs"), list(sets), {})
        allocation = allocation_of(nodes, gpus, cpus, gib, "12:00:00", "long,short", options, setup)
        return script_of(command, allocation, "fpt-sweep-x-12345678", folder, folder / "runs" / "slurm", python)

    return written


def asked(text):
    return dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.M))


def test_it_asks_for_what_was_typed(script, tmp_path):
    text = script(nodes=4, gpus=8, gib=200, options=("--account=lab", "--qos=high"), setup=("module load cuda",))
    folder = tmp_path / "my work 100%"
    assert asked(text) == {
        "job-name": "fpt-sweep-x-12345678",
        "nodes": "4",
        "ntasks-per-node": "1",
        "cpus-per-task": "32",
        "gpus-per-node": "8",
        "mem": "200G",
        "time": "12:00:00",
        "partition": "long,short",
        "chdir": f'"{folder}"',
        "output": f'"{folder}/runs/slurm/fpt-sweep-x-12345678-%j.log"'.replace("100%", "100%%"),
        "open-mode": "append",
        "requeue": "",
        "signal": "B:USR1@120",
        "account": "lab",
        "qos": "high",
    }
    lines = text.splitlines()
    assert max(i for i, line in enumerate(lines) if line.startswith("#SBATCH")) < lines.index("module load cuda")
    assert lines.index("module load cuda") < lines.index("python='/opt/my env/python'")
    assert asked(script())["cpus-per-task"] == "4"
    assert "gpus-per-node" not in asked(script())


def test_without_other_nodes_there_is_no_srun(script):
    assert "srun" not in script(nodes=1)
    assert "srun --nodes=3 --ntasks=3" in script(nodes=4)
    assert 'gathering "$address:$port" 4' in script(nodes=4)


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_shell_can_read_it(script, nodes):
    assert subprocess.run(["bash", "-n"], input=script(nodes=nodes), text=True, capture_output=True).stderr == ""


STANDS_FOR_PYTHON = """#!/bin/sh
case "$*" in
*"import ray, sweeps.cli"*) exit {lacks} ;;
*ray.scripts.scripts*) echo "ray $*" >>{folder}/said; trap 'exit 0' TERM; while :; do sleep 0.05; done ;;
*gathering*) until grep -q ^ray {folder}/said; do sleep 0.05; done; echo "wait $*" >>{folder}/said ;;
*)
    printf '%s\\n' "$@" >{folder}/arguments
    echo "$RAY_ADDRESS $RAY_AUTH_MODE ${{#RAY_AUTH_TOKEN}}" >>{folder}/said
    {does} ;;
esac
"""
SCONTROL = """#!/bin/sh
echo "$*" >>{folder}/scontrol
case $1 in show) echo "   NodeAddr={address} NodeHostName=n7 Version=22" ;; esac
"""


def run(text, tmp_path, job=1234, does="exit 0", lacks=0, address="10.1.2.3"):
    """Runs a script with stand-ins for Python and Slurm. Returns what became of it, and what Python was told."""
    shutil.rmtree(tmp_path / "bin", ignore_errors=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "said").unlink(missing_ok=True)
    texts = {"python": STANDS_FOR_PYTHON, "scontrol": SCONTROL}
    for name, program in texts.items():
        path = tmp_path / "bin" / name
        path.write_text(program.format(folder=tmp_path, does=does, lacks=lacks, address=address))
        path.chmod(0o755)
    Path("runs/slurm").mkdir(parents=True, exist_ok=True)
    slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": "n7", "SLURMD_NODENAME": "n7", "SLURM_CPUS_PER_TASK": "4"}
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), **slurm}
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, env=environment, timeout=60)
    said = (tmp_path / "said").read_text().splitlines() if (tmp_path / "said").exists() else []
    return done, said


def test_ray_has_the_jobs_cores_ports_and_token_and_the_command_its_address(script, tmp_path):
    text = script(python=str(tmp_path / "bin" / "python"), gpus=2)
    done, said = run(text, tmp_path, job=31_234)
    assert done.returncode == 0, done.stderr
    port = 10_000 + 234 * 20
    (ray,) = (line for line in said if line.startswith("ray "))
    told = dict(re.findall(r"--([a-z-]+)=(\S+)", ray))
    assert (told["num-cpus"], told["num-gpus"]) == ("4", "2")
    assert told["node-ip-address"] == "10.1.2.3"
    assert told["temp-dir"] == "/tmp/fpt-31234-0"
    fixed = [int(value) for name, value in told.items() if name.endswith("port") and "worker" not in name]
    assert len(set(fixed)) == len(fixed) == 8
    assert set(fixed) < set(range(port, port + 10))
    assert f"10.1.2.3:{port} token 64" in said
    assert any(line.endswith(f"10.1.2.3:{port} 1") for line in said if line.startswith("wait"))
    assert not Path("/tmp/fpt-31234-0").exists()
    assert Path("runs/slurm/fpt-sweep-x-12345678-ended-31234").read_text() == "0\n"


def test_what_was_typed_arrives_letter_by_letter_and_nothing_of_it_is_run(script, tmp_path):
    done, _ = run(script(python=str(tmp_path / "bin" / "python")), tmp_path)
    assert done.returncode == 0, done.stderr
    expected = ["-m", "sweeps.cli", "sweep", "glyphs", *(f"--set={one}" for one in ODD)]
    assert (tmp_path / "arguments").read_text().splitlines() == expected
    assert not Path("broken").exists()


@pytest.mark.parametrize(("name", "taken"), [("127.0.0.1", "127.0.0.1"), ("10.9.8.7", "10.9.8.7")])
def test_an_address_is_taken_as_slurm_has_it(script, tmp_path, name, taken):
    _, said = run(script(python=str(tmp_path / "bin" / "python")), tmp_path, address=name)
    assert any(f"--node-ip-address={taken} " in line for line in said)


def test_a_name_that_means_this_machine_alone_is_none_that_others_reach(script, tmp_path):
    _, said = run(script(python=str(tmp_path / "bin" / "python")), tmp_path, address="localhost")
    (ray,) = (line for line in said if line.startswith("ray "))
    assert "--node-ip-address=127." not in ray


NOTICE = "trap 'exit 143' TERM; kill -USR1 $PPID; while :; do sleep 0.05; done"


def test_at_its_notice_the_command_ends_well_and_the_job_goes_into_the_queue_again(script, tmp_path):
    done, _ = run(script(python=str(tmp_path / "bin" / "python")), tmp_path, does=NOTICE)
    assert done.returncode == 143
    assert "job 1234 goes into the queue again, and on from what is done" in done.stdout
    assert "requeue 1234" in (tmp_path / "scontrol").read_text().splitlines()


def test_a_notice_before_the_command_has_begun_is_one_too(script, tmp_path):
    text = script(python=str(tmp_path / "bin" / "python")).replace("status=143\n", "kill -USR1 $$\nstatus=143\n")
    done, said = run(text, tmp_path)
    assert done.returncode == 143
    assert "requeue 1234" in (tmp_path / "scontrol").read_text().splitlines()
    assert not any(line.endswith(" token 64") for line in said)


@pytest.mark.parametrize(
    ("does", "status"),
    [
        ("exit 1", 1),
        ("trap 'exit 0' TERM; kill -USR1 $PPID; while :; do sleep 0.05; done", 0),  # it was done by then
        ("trap 'exit 143' TERM; kill -TERM $PPID; while :; do sleep 0.05; done", 143),  # cancelled
    ],
)
def test_what_has_ended_otherwise_stays_ended(script, tmp_path, does, status):
    done, _ = run(script(python=str(tmp_path / "bin" / "python")), tmp_path, does=does)
    assert done.returncode == status
    assert "requeue 1234" not in (tmp_path / "scontrol").read_text().splitlines()
    assert Path("runs/slurm/fpt-sweep-x-12345678-ended-1234").read_text() == f"{status}\n"


def test_a_python_that_lacks_something_is_said_with_its_node_and_nothing_starts(script, tmp_path):
    done, said = run(script(python=str(tmp_path / "bin" / "python")), tmp_path, lacks=1)
    assert (done.returncode, said) == (1, [])
    assert f"{tmp_path}/bin/python on n7 lacks what the line above names; --python names another" in done.stdout


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("3:30", 210), ("1:02:03", 3723), ("2-00", 172_800), ("1-02:03", 93_780), ("1-02:03:04", 93_784)],
)
def test_times_are_slurms(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((None, None, (), ()), "--time must be given with --to slurm but is missing"),
        (("soon", None, (), ()), "--time must be like 90"),
        (("2", None, (), ()), "--time must be more than 2 minutes but got '2'"),
        (("9", "a b", (), ()), "--partition must be a partition's name"),
        (("9", None, ("account=x",), ()), "--sbatch must be an option of sbatch's"),
        (("9", None, ("--a\n#SBATCH --b",), ()), "--sbatch must be an option of sbatch's"),
        (("9", None, (), ("a\nb",)), "--setup must be one line of shell"),
    ],
)
def test_what_no_script_could_hold_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        allocation_of(1, 0, None, None, *arguments)
