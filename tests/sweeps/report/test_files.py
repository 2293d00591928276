from types import SimpleNamespace

import pyarrow
from PIL import Image

from pipeline.config import plain_run
from sweeps.report import files
from sweeps.report.text import verdict
from sweeps.schema.loading import load
from tests.sweeps.findings import SWEEP
from tests.sweeps.report.charts.trials import findings


def test_a_report_is_a_page_its_pictures_and_what_machines_read(tmp_path, monkeypatch):
    def drawn(run, store, index, path):
        Image.new("RGB", (30, 20)).save(path)
        return path

    monkeypatch.setattr(files, "picture_of_episode", drawn)
    found, folder = findings()["usual"], tmp_path / "new" / "folder"
    ledger = SimpleNamespace(read=lambda hashes: pyarrow.table({"config_hash": hashes}))
    episode = files.draw_first_episode(SWEEP, SWEEP.search, found.values, tmp_path, folder)
    written = files.write_report(found, SWEEP, episode, ledger, folder)
    charts = ["differences", "history", "racing", "cost", "parallel", "slices", "importances"]
    named = ["report.md", "report.html", "best.yaml", "ledger.parquet", "episode-0.png"]
    assert [file.name for file in written] == [*named, *(f"{chart}.png" for chart in charts)]
    assert sorted(written) == sorted(folder.iterdir())
    assert (folder / "report.html").read_text().count("<img ") == len(charts) + 1
    assert (folder / "report.md").read_text().startswith(verdict(found))
    assert plain_run(load(folder / "best.yaml", [])) == found.best.run


def test_the_pictured_episode_has_prompts_where_any_setting_does(tmp_path, monkeypatch):
    pictured = []
    monkeypatch.setattr(files, "picture_of_episode", lambda run, store, index, path: pictured.append(run) or path)
    without = {"alpha": 0.0, "lr": 0.02}
    for first in ({"plain": {"alpha": 0}}, {"plain": {"alpha": 0}, "named": {"alpha": 3}}):
        search = SWEEP.search.model_copy(update={"first": first})
        files.draw_first_episode(SWEEP, search, without, tmp_path, tmp_path)
    files.draw_first_episode(SWEEP, SWEEP.search, {"alpha": 0.5, "lr": 0.02}, tmp_path, tmp_path)
    assert [run.prompts.alpha for run in pictured] == [0, 3, 0.5]
    assert [run.solver.lr for run in pictured] == [0.02, plain_run(SWEEP).solver.lr, 0.02]
