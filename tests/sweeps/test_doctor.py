import json

import pytest

from tests.sweeps.tiny import CONFIG

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")


def test_a_configuration_that_would_start(fpt, here):
    ran = fpt("doctor", str(CONFIG))
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert any("all fields are within their bounds" in line and line.startswith("ok ") for line in lines)
    assert any("home is not there yet; it would be made in" in line for line in lines)
    assert any(line.startswith("ok    MLflow: sqlite:///") for line in lines)
    assert any(line.startswith("ok    Ray: ") for line in lines)
    assert " 0 in the way: nothing keeps a sweep from starting" in ran.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "about", "said"),
    [
        ("episodes.way=198", str(CONFIG), "episodes.way must be at most 197"),
        ("home=file/below", "home", "home must be where files can be written but"),
        ("tracking_uri=ftp://x/y", "MLflow", "tracking_uri must be one that MLflow can reach but 'ftp://x/y' failed"),
    ],
)
def test_what_is_in_the_way_is_a_line_each_and_status_1(fpt, here, override, about, said):
    (here / "file").write_text("")
    ran = fpt("doctor", str(CONFIG), "--json", overrides=(override,))
    assert ran.exit_code == 1
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["starts"] is False
    wrong = [one for one in told["told"] if one["state"] == "bad" and one["about"] == about]
    assert wrong, told
    assert wrong[0]["said"].startswith(said)


def test_a_dead_cluster_is_in_the_way(fpt):
    ran = fpt("doctor", str(CONFIG), "--address", "127.0.0.1:1")
    assert ran.exit_code == 1
    assert "bad   Ray: --address must be that of a Ray cluster that answers but '127.0.0.1:1' refuses" in ran.stdout


def test_overrides_want_a_configuration(fpt):
    ran = fpt("doctor")
    assert ran.exit_code == 2
    assert "CONFIG must be given for --set but is missing" in ran.stderr
