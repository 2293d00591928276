"""cluster.yaml, by Ray's own reading of it: what `ray up` does before it asks AWS for anything."""

import os
import re
import subprocess
from itertools import chain
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parents[1] / "cluster.yaml"
LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


@pytest.fixture(scope="module")
def config():
    """The file, with Ray's defaults for AWS."""
    prepared = prepare_config(yaml.safe_load(FILE.read_text()))
    validate_config(prepared)
    return prepared


@pytest.fixture(scope="module")
def workers(config):
    return {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}


def starts(config):
    return [command for command in chain(*(config[name] for name in LISTS)) if "ray start" in command]


def shell(command, home, **variables):
    """Runs a set-up command as a node would, in a home of its own."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], **variables}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_mistake_would_be_found(config):
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        validate_config({**config, "idle_minutes": 5})


def test_the_head_works_for_nobody_and_workers_are_spot_and_come_when_needed(config, workers):
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert not head["node_config"]["InstanceType"].startswith(("g", "p"))
    assert workers
    for worker in workers.values():
        assert worker["min_workers"] == 0
        assert 0 < worker["max_workers"] <= config["max_workers"]
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["node_config"]["InstanceType"].startswith(("g", "p"))
        assert worker["node_config"]["IamInstanceProfile"] == head["node_config"]["IamInstanceProfile"]
    assert config["provider"]["region"] == config["metadata"]["region"]


def test_ray_takes_no_one_without_the_token_and_the_token_is_the_laptops(config):
    assert len(starts(config)) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts(config))
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_nothing_is_open_to_the_outside_and_nothing_is_secret(config):
    text = FILE.read_text()
    assert "0.0.0.0" not in text
    assert "::" not in text
    head = next(command for command in starts(config) if "--head" in command)
    assert "--dashboard-host=127.0.0.1" in head
    (mlflow,) = (command for command in config["head_start_ray_commands"] if "mlflow server" in command)
    assert "--host 127.0.0.1" in mlflow
    assert "security_group" not in config["provider"]
    assert not re.search(r"://[^\s/]*:[^\s/]*@", text)
    assert not re.search(r"RAY_AUTH_TOKEN|password=|passwd|aws_secret|AKIA", text)
    assert "/config" in config["rsync_exclude"]  # of .git, where the URLs of remotes are


def test_what_is_yours_to_edit_is_marked_and_little():
    marked = [line for line in FILE.read_text().splitlines() if "# EDIT" in line]
    assert len(marked) == 3
    assert [re.search(r"# EDIT (\d) of 3: ", line)[1] for line in marked] == ["1", "2", "3"]


def test_the_nodes_install_a_commit_with_the_pinned_versions(config, tmp_path):
    for commands in (config["head_setup_commands"], config["worker_setup_commands"]):
        (install,) = (command for command in commands if "uv pip install" in command)
        assert "--constraint ~/fpt/constraints.txt --editable ~/fpt" in install
        assert sum("venv --quiet --allow-existing --python 3.11" in command for command in commands) == 1
    (check_out,) = (command for command in config["setup_commands"] if "git -C ~/fpt checkout" in command)

    git = ["git", "-c", "user.name=one", "-c", "user.email=one@example.org", "-C", str(tmp_path / "fpt")]
    (tmp_path / "fpt").mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    for text in ("first", "second"):
        (tmp_path / "fpt" / "file").write_text(text)
        subprocess.run([*git, "add", "file"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", text], check=True)
    (tmp_path / "fpt" / "file").unlink()
    for excluded in ("config", "index"):
        (tmp_path / "fpt" / ".git" / excluded).unlink()
    for commit, text in {"HEAD": "second", "HEAD~1": "first"}.items():
        (tmp_path / ".fpt_env").write_text(f"export FPT_COMMIT={commit}\n")
        shell(check_out, tmp_path)
        assert (tmp_path / "fpt" / "file").read_text() == text


def test_a_job_finds_the_bucket_and_mlflow_in_its_environment(config, tmp_path):
    for _ in range(2):  # `ray up` again
        for command in config["setup_commands"]:
            if ".fpt_env" in command and "git" not in command:
                shell(f"touch ~/.bashrc; {command}", tmp_path)
    assert (tmp_path / ".bashrc").read_text().count("fpt_env") == 1
    names = ("FPT_HOME", "MLFLOW_TRACKING_URI", "RAY_AUTH_MODE", "FPT_COMMIT")
    said = shell(f". ~/.bashrc; for name in {' '.join(names)}; do printenv $name; done", tmp_path)
    commit = re.search(r"FPT_COMMIT=(\w+)'", config["metadata"]["commit"])[1]
    bucket = re.search(r"FPT_BUCKET=([a-z0-9.-]+)'", config["metadata"]["bucket"])[1]
    assert said.splitlines() == [f"s3://{bucket}/fpt", "http://127.0.0.1:5000", "token", commit]
    assert shell(". ~/.bashrc; echo $PATH", tmp_path).startswith(f"{tmp_path}/venv/bin:")
    for command in chain(config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert command.startswith(". ~/.fpt_env; ")


def test_every_command_is_one_that_a_shell_can_read(config):
    for command in chain(*(config[name] for name in LISTS)):
        subprocess.run(["bash", "-n", "-c", command], check=True, capture_output=True)
