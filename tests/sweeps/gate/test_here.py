import shutil

import pytest

from pipeline.storage.folder import Home
from pipeline.storage.locking import held_alone
from pipeline.workers.node_report import NodeReport
from sweeps.gate import here
from sweeps.gate.here import home_and_ledger, ports_and_token, this_machine
from sweeps.gate.told import BAD, FINE, LOOK, Told

REPORT = NodeReport("here", {}, (), None, None, None, {}, "none yet", (), 65536)


def lines(told):
    return {one.about: one for one in told}


def test_this_machine_is_fine_where_nothing_is_short(monkeypatch, tmp_path):
    monkeypatch.setattr(here, "report_here", lambda home: REPORT)
    monkeypatch.setattr(here, "shared_memory", lambda: 2**33)
    told = lines(this_machine(None))
    assert {one.state for one in told.values()} == {FINE}
    assert told["limits"].said == "65536 open files"
    assert told["GPUs"].said == "none that NVIDIA's driver tells of"


def test_what_is_short_is_worth_a_look_or_in_the_way(monkeypatch, tmp_path):
    few = NodeReport("here", {}, ("H200",), "580.1", None, None, {}, "none yet", ("raylet on 10.0.0.1:1",), 1024)
    monkeypatch.setattr(here, "report_here", lambda home: few)
    monkeypatch.setattr(here, "shared_memory", lambda: 64 * 2**20)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 200)))
    monkeypatch.setattr(here, "requires", lambda name: ["ray>=99", "no-such-package; extra == 'x'", "nothing-here"])
    told = lines(this_machine(None))
    assert told["limits"] == Told("limits", LOOK, "1024 open files; ulimit -n 4096 is safer")
    assert told["shared memory"].state == LOOK
    assert told["temporary folder"].state == BAD
    assert told["GPUs"].said == "H200; driver 580.1"
    assert told["Ray's ports"].state == LOOK
    assert told["versions"].state == BAD
    assert "; ray must be >=99 but is " in told["versions"].said
    assert told["versions"].said.endswith(", nothing-here is missing")


@pytest.mark.parametrize(
    ("kept", "state"),
    [
        ("in ~/.ray/auth_token (0600)", FINE),
        ("in ~/.ray/auth_token (0644, which others can read)", BAD),
        ("RAY_AUTH_MODE is disabled: whoever reaches Ray's ports runs code", BAD),
    ],
)
def test_a_token_that_others_have_is_in_the_way(kept, state):
    report = NodeReport("here", {}, (), None, None, None, {}, kept, (), 65536)
    assert ports_and_token(report) == [Told("Ray's token", state, kept)]


def test_a_home_that_is_not_there_yet_is_not_made(tmp_path):
    (told,) = home_and_ledger(Home(str(tmp_path / "new" / "home")))
    assert told.state == FINE
    assert "is not there yet; it would be made in" in told.said
    assert list(tmp_path.iterdir()) == []


def test_a_home_tells_who_uses_it_and_what_is_not_its_own(tmp_path):
    home = Home(str(tmp_path))
    home.write("thesis.docx", b"")
    home.write("ledger/rows/000000-0123456789abcdef.parquet", b"no rows")
    with held_alone(tmp_path / "locks" / "sweep-abc.lock", "it"):
        told = lines(home_and_ledger(home))
    assert told["home"].state == FINE
    assert told["ledger"] == Told("ledger", FINE, "0 rows of 0 configurations, which their 0 files prove")
    assert told["damaged"].said.startswith("rows/000000-0123456789abcdef.parquet: ")
    assert told["strangers"].said == "thesis.docx; fpt has not written them, and does not read them"
    assert told["runs now"].said.startswith("sweep-abc: process ")
    assert "runs now" not in lines(home_and_ledger(home))
    assert (tmp_path / "ledger" / "rows" / "000000-0123456789abcdef.parquet").exists()


def test_a_full_disk_is_in_the_way(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5))
    (told,) = home_and_ledger(Home(str(tmp_path)))
    assert (told.about, told.state) == ("home", BAD)
    assert told.said.startswith("home must have 100 MiB free but")
