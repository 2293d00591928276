import os

import pytest

from pipeline.storage.folder import Home
from sweeps.lookup.finished import chosen_sweep


def test_the_newest_or_the_one_that_begins_so(tmp_path):
    home = Home(str(tmp_path))
    with pytest.raises(ValueError, match="home must hold a finished sweep"):
        chosen_sweep(home, None, "a.json")
    for age, name in enumerate(("abc1", "abd2", "e0")):
        (tmp_path / "sweeps" / name).mkdir(parents=True)
        if name != "e0":
            (tmp_path / "sweeps" / name / "a.json").touch()
            os.utime(tmp_path / "sweeps" / name / "a.json", (1e9 - age, 1e9 - age))
    assert chosen_sweep(home, None, "a.json") == "abc1"
    assert chosen_sweep(home, "abd", "a.json") == "abd2"
    for wanted, said in (("ab", "begins 2 of them"), ("x", "is none of them"), ("e", "has no finding yet")):
        with pytest.raises(ValueError, match=said):
            chosen_sweep(home, wanted, "a.json")
