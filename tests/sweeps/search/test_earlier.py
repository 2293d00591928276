import json

import pytest

from pipeline.config import Run
from pipeline.storage.folder import Home
from sweeps.schema.space import Choices, Range
from sweeps.schema.sweep import Search
from sweeps.search.earlier import FINDING, TAKEN, completed, fitted, with_earlier

RUN = Run.model_validate({"solver": {"name": "lora", "lr": 0.01}, "prompts": {"tau": 2.0, "patches": 3}})
SPACE = {
    "alpha": Range(low=0.01, high=10, log=True, zero=True),
    "tau": Range(low=0.1, high=5, log=True),
    "patches": Range(low=1, high=8, integer=True),
    "lr": Range(low=0.001, high=0.1, log=True),
}


def finding(*trials):
    return json.dumps({"record": {"trials": [{"values": values, "score": score} for values, score in trials]}})


def left_by(home, sweep_id, *trials):
    folder = home / "sweeps" / sweep_id
    folder.mkdir(parents=True)
    (folder / FINDING).write_text(finding(*trials))
    return folder


def setting(lr, **others):
    return {"alpha": 1.0, "tau": 1.0, "patches": 2, "lr": lr, **others}


def test_the_best_settings_of_earlier_sweeps_are_looked_at_first(tmp_path):
    left_by(tmp_path, "3f2a00000000", (setting(0.01), 0.5), (setting(0.02), None), (setting(0.03), 0.7))
    other = left_by(tmp_path / "elsewhere", "aa", (setting(0.04), 0.1), (setting(0.03), 0.9))
    search = Search.model_validate({"space": SPACE, "from": ["3f", str(other)], "warm": [setting(0.05)]})
    found = with_earlier(search, RUN, Home(str(tmp_path)))
    assert [values["lr"] for values in found.warm] == [0.05, 0.03, 0.01, 0.04]  # each once, the best of each first
    assert found.earlier == ()
    assert with_earlier(found, RUN, Home(str(tmp_path))) == found


def test_an_earlier_sweep_costs_no_more_than_is_stated(tmp_path):
    file = left_by(tmp_path, "a", *((setting(0.001 * (1 + i)), i) for i in range(60))) / FINDING
    search = Search.model_validate({"space": SPACE, "from": [str(file)]})
    found = with_earlier(search, RUN, Home(str(tmp_path))).warm
    assert [values["lr"] for values in found] == [pytest.approx(0.001 * (60 - i)) for i in range(TAKEN)]


def test_a_setting_is_brought_into_the_space():
    assert fitted({"alpha": 20, "lambda": 3.0, "tau": 0.01, "patches": 14, "lr": 1e-9}, SPACE, RUN) == {
        "alpha": 10,
        "tau": 0.1,
        "patches": 8,
        "lr": 0.001,
    }
    assert fitted({"alpha": 0, "lr": 0.02}, SPACE, RUN) == {"alpha": 0.0, "lr": 0.02}
    assert fitted({"alpha": 1.0}, SPACE, RUN) == {"alpha": 1.0, "tau": 2.0, "patches": 3, "lr": 0.01}


def test_a_setting_of_other_choices_is_left_out():
    space = {**SPACE, "name": Choices(choices=("lora", "ssf"))}
    assert fitted({**setting(0.01), "name": "vpt"}, space, RUN) is None
    assert fitted({**setting(0.01), "name": "ssf"}, space, RUN) == {**setting(0.01), "name": "ssf"}
    rows = {**SPACE, "rows": Choices(choices=("all", "class"))}
    assert fitted({**setting(0.01), "rows": "patches"}, rows, RUN) is None


def test_what_a_named_setting_leaves_open_is_as_the_run_has_it(tmp_path):
    search = Search.model_validate({"space": SPACE, "first": {"steered": {"alpha": 70}}})
    found = with_earlier(search, RUN, Home(str(tmp_path))).first
    assert found == {"steered": {"alpha": 70, "tau": 2.0, "patches": 3, "lr": 0.01}}  # and what it says stays
    assert completed({"alpha": 0}, SPACE, RUN) == {"alpha": 0, "lr": 0.01}


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("b", "must name a finished sweep of home .* but got 'b': it has no finished sweep that begins so$"),
        ("a", "but got 'a': 2 of its sweeps begin so$"),
        ("gone.json", "must name a finished sweep's folder, finding.json or ID but got 'gone.json'$"),
        ("odd.json", "must name what a sweep of this version of fpt has found but 'odd.json' is something else$"),
    ],
)
def test_what_is_no_earlier_sweep_is_refused(tmp_path, monkeypatch, named, sentence):
    monkeypatch.chdir(tmp_path)
    left_by(tmp_path, "a1", (setting(0.01), 0.5))
    left_by(tmp_path, "a2", (setting(0.01), 0.5))
    (tmp_path / "odd.json").write_text("{}")
    search = Search.model_validate({"space": SPACE, "from": [named]})
    with pytest.raises(ValueError, match=f"^search.from .*{sentence}"):
        with_earlier(search, RUN, Home(str(tmp_path)))


def test_a_backbone_that_is_not_said_is_left_open():
    """It is chosen by a race later; what was found on a backbone that is no choice now is left out."""
    space = {**SPACE, "backbone": Choices(choices=("vit_a", "vit_b"))}
    assert fitted(setting(0.01), space, RUN) == setting(0.01)
    assert completed({"alpha": 0}, space, RUN) == {"alpha": 0, "lr": 0.01}
    assert fitted({**setting(0.01), "backbone": "vit_b"}, space, RUN) == {**setting(0.01), "backbone": "vit_b"}
    assert fitted({**setting(0.01), "backbone": "vit_c"}, space, RUN) is None
