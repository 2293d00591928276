from dataclasses import replace

import pytest

from pipeline.storage.ledger import Ledger
from pipeline.storage.schema import SCHEMA
from sweeps.statistics.estimates import Estimate
from sweeps.verdict.finding import BASELINE
from sweeps.verdict.proven import rows_behind
from tests.sweeps.findings import compared, finding

CORRECT = [3, 2, 4, 1]  # of five queries


def row(config_hash, episode, correct):
    """A row whose numbers agree, as the ledger wants them."""
    counted = {"correct": correct, "queries": 5, "class_hits": [correct], "failed": False, "accuracy": correct / 5}
    return {**dict.fromkeys(SCHEMA.names), "config_hash": config_hash, "episode": episode, **counted}


def judged(name, values, correct):
    estimate = Estimate(sum(correct) / len(correct) / 5, 0.1, len(correct))
    return replace(compared(name, values, 0.5), estimate=estimate)


@pytest.fixture
def ledger(tmp_path):
    """The rows of both settings, a file for each; of one of them more episodes than were judged, as an earlier sweep
    may leave them.
    """
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger.write("best", [row("hash of best", i, own) for i, own in enumerate([*CORRECT, 5, 5])])
    ledger.write("plain", [row(f"hash of {BASELINE}", i, 1) for i in range(4)])
    return ledger


@pytest.fixture
def found():
    settings = {"best": judged("best", {}, CORRECT), BASELINE: judged(BASELINE, {"alpha": 0.0}, [1] * 4)}
    hashes = sorted(one.config_hash for one in settings.values())
    return replace(finding(), compared=settings, hashes=hashes)


def test_a_verdict_that_the_ledger_holds_is_given(found, ledger):
    rows = rows_behind(found, ledger)
    assert rows.num_rows == 10
    failed = replace(found.compared["best"], estimate=None)
    assert rows_behind(replace(found, compared={**found.compared, "best": failed}), ledger).num_rows == 10


@pytest.mark.parametrize("name", ["best", "plain"])
def test_rows_that_are_damaged_or_gone_give_no_verdict(found, ledger, name, capsys):
    file = ledger.folder.here / "rows" / f"{name}.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RuntimeError, match=r"^no verdict is given: the ledger does not hold .* \(0 of 4 rows\); the"):
        rows_behind(found, ledger)
    assert f"{name}.parquet is damaged" in capsys.readouterr().err
    assert (ledger.folder.here / "damaged" / f"{name}.parquet").is_file()


def test_a_result_that_changed_on_its_way_gives_no_verdict(found, ledger):
    wrong = replace(found.compared["best"], estimate=Estimate(0.55, 0.1, 4))
    with pytest.raises(RuntimeError, match=r"'best' was judged by \(an accuracy of 0\.5, not 0\.55\)"):
        rows_behind(replace(found, compared={**found.compared, "best": wrong}), ledger)


def test_the_other_evaluation_is_looked_at_too(found, ledger):
    again = replace(judged("best", {}, CORRECT), config_hash="hash of the other half")
    with pytest.raises(RuntimeError, match=r"'best' was judged by \(0 of 4 rows\)"):
        rows_behind(replace(found, again=again), ledger)


def test_where_episodes_were_lost_rows_are_counted(found, ledger):
    """Which episodes these were is not known here, so that their mean cannot be compared."""
    left = replace(found.compared["best"], estimate=Estimate(0.7, 0.1, 3))
    assert rows_behind(replace(found, compared={"best": left}, lost=("episode 3",)), ledger).num_rows == 10
