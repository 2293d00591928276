"""What a job's Python lacks, told by how the job ended."""

from types import SimpleNamespace

import pytest

from sweeps.jobs.missing import what_is_missing

MODULE = "Traceback\n  File \"x.py\", line 1\nModuleNotFoundError: No module named 'typer'\n"
SAID = {
    f"Job entrypoint command failed with exit code 1, last available logs:\n{MODULE}": "/v/python on n7 has no typer; ",
    "... exit code 1, ...:\n/v/python: No module named sweeps\n": "/v/python on n7 has no sweeps; ",
    "... exit code 127, ...:\n/bin/sh: 1: /v/python: not found": "there is no /v/python on n7 that can be run; ",
    "... exit code 126, ...:\n/v/python: Permission denied": "there is no /v/python on n7 that can be run; ",
    "... exit code 1271, ...": None,
    "... exit code 2, last available logs:\nfpt: search.split must differ": None,
    None: None,
}


@pytest.mark.parametrize("message", SAID)
def test_what_is_missing_is_said_with_where(message):
    entrypoint = "/v/python -m sweeps.cli sweep one.yaml"
    job = SimpleNamespace(message=message, entrypoint=entrypoint, driver_agent_http_address="http://n7:52365")
    said = what_is_missing(job)
    if SAID[message] is None:
        assert said is None
    else:
        assert said.startswith(SAID[message])
        assert "--python names another Python there" in said


def test_where_the_node_is_not_told_it_is_the_head():
    job = SimpleNamespace(message="No module named 'x'", entrypoint="p -m s")
    assert what_is_missing(job).startswith("p on the cluster's head node has no x; ")
