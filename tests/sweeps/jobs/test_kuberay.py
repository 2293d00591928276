"""What Kubernetes is given, by the facts of KubeRay's schema, and by what a pod can reach."""

import copy
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sweeps import cli
from sweeps.jobs.command import remote_command
from sweeps.jobs.kuberay import LONGEST_NAME, entrypoint, name_of_rayjob
from sweeps.schema.loading import load
from sweeps.schema.shipped import CONFIGS
from tests.sweeps.jobs.schema import wrong

LONG = "--set=name=Ünïcode/and_more than fits into a name of Kubernetes"
NAMED = {
    "a bucket": ("--secret=keys", "--", "sweep", "glyphs", "--set=home=s3://bucket/fpt"),
    "a volume": ("--claim=many-writers", "--", "sweep", "glyphs"),
    "GPUs": ("--claim=c", "--secret=keys", "--gpus-per-node=8", "--nodes=16", "--namespace=l", "--", "sweep", "glyphs"),
    "a table": ("--claim=c", "--", "table", "glyphs-table", LONG),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    for name in ("FPT_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def printed(*arguments):
    options = ("--to=kuberay", "--image=registry.example.org/lab/fpt:1", "--print")
    result = CliRunner().invoke(cli.app, ["submit", *options, *arguments])
    assert result.exit_code == 0, result.output
    return list(yaml.safe_load_all(result.stdout))


def pods(rayjob):
    cluster = rayjob["spec"]["rayClusterSpec"]
    return cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"][0]["template"]["spec"]


@pytest.mark.parametrize("arguments", NAMED.values(), ids=NAMED)
def test_what_is_rendered_is_as_the_schema_says(arguments):
    config, rayjob = printed(*arguments)
    assert list(wrong(config, "ConfigMap")) == []
    assert list(wrong(rayjob, "RayJob")) == []
    name = rayjob["metadata"]["name"]
    assert config["metadata"] == rayjob["metadata"]
    assert len(name) <= LONGEST_NAME
    assert name[0].isalpha()
    assert name[-1] != "-"
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    for pod in pods(rayjob):  # what is mounted is there, and the other way round
        (container,) = pod["containers"]
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
        assert len({one["mountPath"] for one in container["volumeMounts"]}) == len(pod["volumes"])


def changed(rayjob, path, value):
    copied = copy.deepcopy(rayjob)
    *parents, last = path.split(".")
    inner = copied
    for parent in parents:
        inner = inner[int(parent) if parent.isdigit() else parent]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return copied


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("kind", "RayCluster", "RayJob.kind is none of =RayJob"),
        ("spec.ttlSeconds", 5, "RayJob.spec.ttlSeconds is no field"),
        ("spec.backoffLimit", "2", "RayJob.spec.backoffLimit is no whole"),
        ("spec.shutdownAfterJobFinishes", 1, "is no yes or no"),
        ("spec.rayClusterSpec.authOptions.mode", "Token", "is none of disabled|token"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0, "rayStartParams.num-cpus is no text"),
        ("spec.rayClusterSpec.headGroupSpec.template", None, "headGroupSpec.template is missing"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.minReplicas", None, "workerGroupSpecs.0.minReplicas is missing"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.resources.limits.cpu", 4, "is no amount"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.tolerations", {}, "tolerations is no list"),
    ],
)
def test_a_mistake_would_be_found(path, value, said):
    _, rayjob = printed(*NAMED["GPUs"])
    (found,) = wrong(changed(rayjob, path, value), "RayJob")
    assert said in found


def test_workers_come_when_there_is_work_also_on_nodes_that_may_be_taken_away():
    _, rayjob = printed(*NAMED["GPUs"])
    cluster = rayjob["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (0, 0, 16)
    head, worker = pods(rayjob)
    assert worker["containers"][0]["resources"]["limits"] == {"cpu": "32", "memory": "128Gi", "nvidia.com/gpu": "8"}
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    assert {"name": "FPT_GPUS_PER_WORKER", "value": "1"} in head["containers"][0]["env"]  # where it is decided
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    keys = {one["key"] for one in worker["tolerations"]}
    assert {"cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority", "nvidia.com/gpu"} <= keys
    assert "tolerations" not in head  # a head that is taken away takes the job with it


def test_nobody_is_root_and_secrets_are_named_and_not_written():
    _, rayjob = printed(*NAMED["GPUs"])
    for pod in pods(rayjob):
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert rayjob["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_the_home_is_on_the_volume_or_in_the_bucket():
    config, rayjob = printed(*NAMED["a volume"])
    for pod in pods(rayjob):
        assert {"name": "home", "persistentVolumeClaim": {"claimName": "many-writers"}} in pod["volumes"]
        (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "home")
        assert {"name": "FPT_HOME", "value": mount["mountPath"]} in pod["containers"][0]["env"]
    assert "home" not in yaml.safe_load(config["data"]["config.yaml"])
    config, rayjob = printed(*NAMED["a bucket"])
    assert yaml.safe_load(config["data"]["config.yaml"])["home"] == "s3://bucket/fpt"
    assert all(one["name"] != "home" for pod in pods(rayjob) for one in pod["volumes"])


@pytest.mark.parametrize("shipped", ["glyphs", "glyphs-table"])
def test_the_configuration_there_is_the_one_here_with_what_was_typed(shipped, tmp_path):
    command = "table" if "table" in shipped else "sweep"
    overrides = ["episodes.way=7", "prompts.lambda=0.5", "solver.lr=0.02"]
    config, rayjob = printed("--claim=c", "--", command, shipped, *(f"--set={one}" for one in overrides))
    there = tmp_path / "config.yaml"
    there.write_text(config["data"]["config.yaml"])
    assert load(there, []) == load(CONFIGS / f"{shipped}.yaml", overrides)
    assert shlex.split(rayjob["spec"]["entrypoint"]) == ["python", "-m", "sweeps.cli", command, "/etc/fpt/config.yaml"]


def test_other_options_of_a_command_are_kept():
    arguments = ["glyphs", "--set", "episodes.way=7", "--stack", "4", "--set=name=x", "--stack=2"]
    command = remote_command("bench", arguments, Path("glyphs"), ["episodes.way=7", "name=x"], {"stacks": [4, 2]})
    assert entrypoint(command, "python3") == "python3 -m sweeps.cli bench /etc/fpt/config.yaml --stack 4 --stack=2"
    other = remote_command("bench", arguments, Path("glyphs"), ["episodes.way=7", "name=x"], {"stacks": [4]})
    assert name_of_rayjob(command) != name_of_rayjob(other)


REFUSED = {
    "no image": (("--claim=c",), (), "--image must be given with --to kuberay"),
    "a name": (("--image=i", "--claim=No_Name"), (), "--claim must be a name of Kubernetes' (small letters"),
    "no home": (("--image=i",), (), "home must be what every pod reaches, a URI like s3://bucket/fpt, or a volume"),
    "two homes": (("--image=i", "--claim=c"), ("--set=home=s3://b/x",), "home must be left out where --claim names"),
    "no MLflow": (("--image=i",), ("--set=home=s3://b/x",), "tracking_uri must be an MLflow server's where home is"),
    "images": (
        ("--image=i", "--claim=c"),
        ("--set=dataset={source: folder, path: photos}",),
        "paths must be what every pod reaches, a URI, or absolute on the volume or in the image, but got 'photos'",
    ),
    "Slurm's": (("--image=i", "--claim=c", "--time=5"), (), "--time must go with --to slurm but --to is kuberay"),
}


@pytest.mark.parametrize(("options", "sets", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_a_sentence(options, sets, sentence):
    arguments = ["submit", "--to=kuberay", "--print", *options, "--", "sweep", "glyphs", *sets]
    result = CliRunner().invoke(cli.app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"fpt: {sentence}")
    assert len(result.stderr.splitlines()) == 1
