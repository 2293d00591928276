"""A sweep is timed part by part, in a home of its own where it is timed alone."""

import json
from pathlib import Path

from sweeps.terminal.times import Times
from tests.sweeps.tiny import CONFIG


def test_bench_of_a_sweep_prints_a_line_or_an_object_and_leaves_nothing(fpt, here, monkeypatch):
    times, homes = Times({"imports": 2.0}, 10.0, 9.5), []

    def timed(sweep, address):
        homes.append(Path(sweep.home))
        assert homes[-1].is_dir()
        return None, {}, times

    monkeypatch.setattr("sweeps.timing.timed_sweep", timed)
    assert fpt("bench", str(CONFIG), "--sweep").stdout == f"{times}\n"
    assert json.loads(fpt("bench", str(CONFIG), "--sweep", "--json").stdout) == times.as_json()
    assert not any(home.exists() for home in homes)
    assert list(here.iterdir()) == []
