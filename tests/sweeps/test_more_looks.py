"""Going on with a finished sweep, and beginning with what it found, as they are typed."""

import shutil

import pytest

from tests.sweeps.whole import ended, files, rows, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_more_looks_keep_all_that_is_done_and_are_what_one_longer_sweep_would_be(undisturbed, tmp_path):
    before, said = undisturbed
    home = tmp_path / "home"
    for part in ("images", "ledger"):
        shutil.copytree(before / part, home / part)
    had, rows_before = files(home), rows(home)
    longer = ended(started(home, "search.more=2"))
    assert {name: files(home)[name] for name in had} == had  # nothing is computed again
    assert all(row in rows(home) for row in rows_before)
    assert longer["final"]["episodes"] == said["final"]["episodes"]

    def looked_at(trials):
        return [{name: value for name, value in row.items() if name.startswith("param")} for row in trials]

    settings = looked_at(said["trials"])
    assert looked_at(longer["trials"])[: len(settings)] == settings
    assert sum(row["looks"] for row in longer["trials"]) == sum(row["looks"] for row in said["trials"]) + 2
    assert ended(started(tmp_path / "fresh", "search.more=2"))["best"] == longer["best"]


def test_a_search_begins_with_what_an_earlier_one_found(undisturbed, tmp_path):
    before, said = undisturbed
    (folder,) = (before / "sweeps").iterdir()
    home = tmp_path / "home"
    shutil.copytree(before / "images", home / "images")
    warm = ended(started(home, f"search.from=['{folder}']", "search.first={}", "search.trials=12", "search.seed=5"))
    best = max(said["trials"], key=lambda row: row["score"])
    (first,) = [row for row in warm["trials"] if row["trial"] == "0.0"]
    assert {name: first[name] for name in first if name.startswith("param")} == {
        name: best[name] for name in best if name.startswith("param")
    }
    assert "6 of the looks were at settings that earlier sweeps found good." in (
        (next((home / "sweeps").iterdir()) / "report.md").read_text()
    )
