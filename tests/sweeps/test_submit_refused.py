"""What `fpt submit` refuses, in one sentence and before anything is sent."""

from pathlib import Path

import pytest

from tests.sweeps.tiny import CONFIG

BAD = {
    "a command for this machine": (("ui", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "itself": (("submit", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "no command": (("swep", "one.yaml"), "COMMAND must be one of run, sweep, table, bench"),
    "no configuration": (("sweep",), "CONFIG must be given but is missing; fpt sweep --help"),
    "an unknown option": (("sweep", "one.yaml", "--trials=3"), "--trials is no option of fpt sweep"),
    "an address inside": (("sweep", "one.yaml", "--address=auto"), "--address must come before the command"),
    "a missing file": (("sweep", "two.yaml"), "CONFIG must be a YAML file but 'two.yaml' is none"),
    "an unknown field": (("sweep", "one.yaml", "--set=prompts.alpa=1"), "prompts.alpa is not a field"),
    "a value": (("sweep", "one.yaml", "--set", "prompts.tau=0"), "prompts.tau must be greater than 0 but got 0"),
    "a home that only this folder has": (("sweep", "one.yaml", "--set=home=runs"), "home must be what every node"),
    "another folder": (("sweep", str(CONFIG)), "CONFIG must lie in the current folder"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_nothing_is_sent(submit, cluster, arguments, sentence):
    result = submit(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"fpt: {sentence}")
    assert (cluster.jobs, cluster.staged) == ([], [])


@pytest.mark.parametrize(
    "argument",
    [
        "tracking_uri=postgresql://me:hunter2@host/db",
        "search.trials=https://me:hunter2/@host",
        "nothing=s3+x://:hunter2@host",
        'dataset={source: folder, path: "http://me:hunter2\\x40host"}',
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_password_is_refused_and_not_repeated(submit, cluster, argument, joined):
    result = submit("sweep", "one.yaml", *([f"--set={argument}"] if joined else ["--set", argument]))
    assert (result.exit_code, cluster.staged) == (2, [])
    assert "must hold no password" in result.stderr
    assert "MLFLOW_TRACKING_URI" in result.stderr
    assert "hunter2" not in result.output


def test_a_password_in_the_file_is_refused_even_where_it_is_overridden(submit, cluster):
    with Path("one.yaml").open("a") as file:
        file.write("tracking_uri: mysql://me:hunter2@host/db\n")
    result = submit("sweep", "one.yaml", "--set=tracking_uri=http://host:5000")
    assert (result.exit_code, cluster.staged) == (2, [])
    assert result.stderr.startswith("fpt: CONFIG must hold no password")
    assert "hunter2" not in result.output


def test_addresses_without_a_password_are_taken(submit, cluster):
    assert submit("sweep", "one.yaml", "--set=tracking_uri=http://host:5000/path").exit_code == 0
    assert len(cluster.staged) == 1


@pytest.mark.parametrize("given", ["auto", "ray://host:10001", "127.0.0.1:8265", "http://", "http://me:hunter2@host"])
def test_an_address_is_a_url(submit, cluster, given):
    result = submit("sweep", "one.yaml", options=("--address", given))
    assert (result.exit_code, result.stdout, cluster.staged) == (2, "", [])
    assert result.stderr.startswith("fpt: address must be the URL of a Ray dashboard, e.g. http://127.0.0.1:8265,")
    assert "hunter2" not in result.output
