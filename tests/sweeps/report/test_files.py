import json

import pyarrow.parquet
import pytest
from PIL import Image

from fpt.classifier.calibration import calibration_of, check_is_of
from pipeline.config import plain_run
from pipeline.storage.ledger import SCHEMA, Ledger
from sweeps.lookup.winner import parameters_of
from sweeps.report import files
from sweeps.report.first_episode import first_episode
from sweeps.report.surest import surest
from sweeps.report.text import verdict
from sweeps.schema.loading import load
from sweeps.verdict.saved import finding_of
from tests.sweeps.findings import CONFIDENCE, SWEEP, WON
from tests.sweeps.report.charts.trials import findings

CHARTS = ["differences", "history", "racing", "parallel", "importances"]


@pytest.fixture
def folder(tmp_path):
    """A sweep's folder, in which the picture of an episode is."""
    folder = tmp_path / "sweeps" / "abc"
    folder.mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(folder / "episode-0.png")
    return folder


@pytest.fixture
def ledger(tmp_path):
    """Two rows of what was compared, and one of another sweep."""
    ledger = Ledger(str(tmp_path / "ledger"))
    hashes = ["hash of best", "hash of best", "another"]
    ledger.write("rows", [dict.fromkeys(SCHEMA.names) | {"config_hash": h, "episode": i} for i, h in enumerate(hashes)])
    return ledger


def test_a_report_is_a_page_its_pictures_and_what_machines_read(folder, ledger):
    found = findings()["usual"]
    rows = ledger.read(found.hashes)
    written = files.write_report(found, SWEEP, [first_episode(SWEEP, WON, folder)], rows, folder)
    named = ["report.md", "report.html", "best.yaml", "trials.csv", *(f"{chart}.png" for chart in CHARTS)]
    assert [file.name for file in written] == [*named, "sweep.yaml", "ledger.parquet", "finding.json", "episode-0.png"]
    assert sorted(written) == sorted(folder.iterdir())
    assert list(folder.parent.iterdir()) == [folder]
    assert (folder / "report.html").read_text().count("<img ") == len(CHARTS) + 1
    assert (folder / "report.md").read_text().startswith(verdict(found))
    assert plain_run(load(folder / "best.yaml", [])) == found.best.run
    assert load(folder / "sweep.yaml", []) == SWEEP
    assert finding_of((folder / "finding.json").read_text()) == found
    assert len((folder / "trials.csv").read_text().splitlines()) == 1 + 16
    assert pyarrow.parquet.read_table(folder / "ledger.parquet")["episode"].to_pylist() == [0, 1]


def test_a_picture_that_makes_no_sense_any_more_is_removed(folder, ledger):
    found = findings()["usual"]
    files.write_report(found, SWEEP, [first_episode(SWEEP, WON, folder)], ledger.read(found.hashes), folder)
    before = {path.name for path in folder.iterdir()}
    for name in ("cost.png", "of-mine.png"):  # the first as an older version drew it
        Image.new("RGB", (30, 20)).save(folder / name)
    files.draw_again(found, SWEEP, [], folder)
    assert {path.name for path in folder.iterdir()} == before | {"of-mine.png"}


@pytest.mark.parametrize("drawing", ["as_markdown", "as_csv", "draw_all", "write_page", "configuration"])
def test_an_interrupt_leaves_the_files_of_before(folder, ledger, monkeypatch, drawing):
    (folder / "report.md").write_text("of before")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, drawing, interrupted)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        files.write_report(findings()["usual"], SWEEP, [first_episode(SWEEP, WON, folder)], ledger.read(), folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_what_is_drawn_again_is_the_same_and_the_rest_is_left_alone(folder, ledger):
    found, episode = findings()["usual"], first_episode(SWEEP, WON, folder)
    written = files.write_report(found, SWEEP, [episode], ledger.read(found.hashes), folder)
    before = {file: file.read_bytes() for file in written}
    for name in ("report.html", "racing.png"):
        (folder / name).unlink()
    again = files.draw_again(found, SWEEP, [episode], folder)
    assert again == written[: len(again)]
    assert {file: file.read_bytes() for file in written} == before
    (folder / "episode-0.png").unlink()
    files.draw_again(found, SWEEP, [], folder)
    assert (folder / "report.html").read_text().count("<img ") == len(CHARTS)


def test_a_calibration_is_left_for_the_winner_and_its_file_is_whole(folder, ledger):
    found = findings()["calibrated"]
    Image.new("RGB", (30, 20)).save(folder / "mistakes.png")
    solved = [first_episode(SWEEP, WON, folder), *surest(found, folder)]
    written = files.write_report(found, SWEEP, solved, ledger.read([]), folder)
    assert {folder / "calibration.json", folder / "mistakes.png"} <= set(written)
    described = json.loads((folder / "calibration.json").read_text())
    assert calibration_of(described) == CONFIDENCE.calibration
    check_is_of(described, parameters_of(plain_run(load(folder / "best.yaml", []))))
    assert finding_of((folder / "finding.json").read_text()) == found
    page = (folder / "report.html").read_text()
    assert "How sure it may be" in page
    assert "What it mistakes" in page
    assert page.count(solved[1].alt) == 1
