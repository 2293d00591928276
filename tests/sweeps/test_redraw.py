"""`fpt report`, on files of sweeps that were made by hand; tests/sweeps/test_sweep.py has it on those of a sweep."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import fsspec
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.storage.folder import Home
from pipeline.storage.ledger import Ledger
from sweeps import cli
from sweeps.redraw import redraw
from sweeps.report.files import write_report
from sweeps.report.first_episode import first_episode
from sweeps.report.json_object import as_json
from sweeps.report.surest import surest
from sweeps.report.text import verdict
from tests.sweeps.findings import MISTAKES, SWEEP, WON, finding
from tests.sweeps.ledgers import answered, refused
from tests.sweeps.report.charts.trials import few

FOUND = finding(tried=tuple(few()[:3]), mistakes=MISTAKES)
NEW, OLD, UNFINISHED = "abc123", "abd456", "e0f789"


@pytest.fixture
def home(here):
    """The home `runs`, which holds two sweeps that have finished and one that has not."""
    home = Home("runs")
    for age, sweep_id in enumerate((NEW, OLD)):
        folder = home.local / "sweeps" / sweep_id
        folder.mkdir(parents=True)
        for name in ("episode-0.png", "mistakes.png"):
            Image.new("RGB", (30, 20)).save(folder / name)
        found = replace(FOUND, spent=100 + age)
        write_report(
            found,
            SWEEP,
            [first_episode(SWEEP, WON, folder), *surest(found, folder)],
            Ledger("runs/ledger").read(),
            folder,
        )
        os.utime(folder / "finding.json", (1e9 - age, 1e9 - age))
    (home.local / "sweeps" / UNFINISHED).mkdir()
    (home.local / "sweeps" / ".e0f789-drawing").mkdir()
    return home


def files(home, sweep_id):
    return {file.name: file.read_bytes() for file in (home.local / "sweeps" / sweep_id).iterdir()}


def typed(*arguments):
    return CliRunner().invoke(cli.app, ["report", *arguments])


def test_the_newest_report_is_drawn_again_byte_by_byte(home):
    before, other = files(home, NEW), files(home, OLD)
    for name in ("report.html", "report.md", "history.png", "best.yaml", "trials.csv"):
        (home.local / "sweeps" / NEW / name).unlink()
    said = answered(typed())
    page = home.local / "sweeps" / NEW / "report.html"
    assert " ".join(said.split()).endswith(f"Read it: {page}")
    assert verdict(FOUND) in " ".join(said.split())
    assert files(home, NEW) == before
    assert files(home, OLD) == other


@pytest.mark.parametrize("wanted", [OLD, "abd"])
def test_a_sweep_is_named_by_its_id_or_the_beginning_of_it(home, wanted):
    found, page = redraw(home, wanted)
    assert (found.spent, page.parent.name) == (101, OLD)


@pytest.mark.parametrize(
    ("name", "said"), [("episode-0.png", "The first unseen episode"), ("mistakes.png", "The surest mistakes on unseen")]
)
def test_a_page_lacks_what_was_drawn_of_episodes_where_the_picture_is_gone(home, name, said):
    page = home.local / "sweeps" / NEW / "report.html"
    assert said in page.read_text()
    (page.parent / name).unlink()
    assert redraw(home, NEW)[1] == page
    assert said not in page.read_text()


def test_machines_get_what_the_sweep_told(home):
    result = typed(NEW, "--json", "--home", "runs")
    assert result.exit_code == 0
    page = home.local / "sweeps" / NEW / "report.html"
    told = json.loads(result.stdout.splitlines()[-1])
    assert told == json.loads(json.dumps(as_json(replace(FOUND, spent=100), {"report": str(page)})))
    assert told["mlflow"] is None


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("f", f"ID must be one of {NEW}, {OLD}, {UNFINISHED} in '{{home}}' but 'f' is none of them"),
        ("ab", f"ID must be one of {NEW}, {OLD} in '{{home}}' but 'ab' begins 2 of them"),
        (
            "e0",
            f"ID must be that of a finished sweep but '{UNFINISHED}' has no finding yet; the same fpt sweep ",
        ),
    ],
)
def test_a_sweep_that_cannot_be_told_is_refused_in_a_sentence(home, wanted, sentence):
    refused(typed(wanted), sentence.format(home=home.uri))


def test_a_home_without_sweeps_is_refused_in_a_sentence(here):
    where = here / "runs"
    refused(typed(), f"home must hold a finished sweep but '{where}' has none; fpt sweep makes one")
    refused(typed("a"), f"ID must be that of a sweep in '{where}' but 'a' is none: there are no sweeps")
    assert list(here.iterdir()) == []


def test_what_another_version_has_written_is_refused_in_a_sentence(home):
    (home.local / "sweeps" / NEW / "finding.json").write_text("{}")
    refused(typed(NEW), "finding.json must be what this version of fpt writes but is not, at record")


def test_a_home_on_an_object_store_has_its_files_drawn_again(home, monkeypatch, tmp_path):
    monkeypatch.setenv("FPT_CACHE", str(tmp_path / "cache"))
    far = Home("memory://bucket/fpt")
    for name, content in files(home, NEW).items():
        far.write(f"sweeps/{NEW}/{name}", content)
    kept = far.read(f"sweeps/{NEW}/report.html")
    far.delete(f"sweeps/{NEW}/report.html")
    redraw(far, None)
    assert far.read(f"sweeps/{NEW}/report.html") == kept
    fsspec.filesystem("memory").store.clear()


def test_neither_ray_nor_mlflow_nor_torch_is_loaded(home):
    code = "import sys; from sweeps.cli import app; app(['report'], standalone_mode=False); "
    code += "print('loaded', *({'ray', 'mlflow', 'torch', 'timm'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.splitlines()[-1].strip()) == (0, "loaded"), ran.stderr
