import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.storage.ledger import CIRCUMSTANCES, SCHEMA, KnownRows, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "ledger"))


def row(config_hash, episode, correct=3, **others):
    return {
        "config_hash": config_hash,
        "episode": episode,
        "accuracy": correct / 6,
        "correct": correct,
        "queries": 6,
        "class_hits": [correct, 0],
        "failed": False,
        "prompt_precision": 0.25,
        "prompt_chance": None,
        "attention_on_key_before": 0.5,
        "attention_on_key_after": 0.75,
        "seconds": 1.5,
        "worker": "worker-0",
        "attempt": 1,
        "device": "cpu",
        **others,
    }


def files(ledger):
    return sorted(path.name for path in Path(ledger.folder.root, "rows").iterdir())


def test_an_empty_ledger_has_no_rows(ledger):
    assert ledger.read().num_rows == 0
    assert ledger.read(["a"]).num_rows == 0
    assert ledger.read().schema.names == SCHEMA.names


def test_rows_come_back_sorted(ledger):
    written = [row("b", 2), row("a", 10, accuracy=None, failed=True), row("a", 9), row("b", 1)]
    ledger.write("one", written[:2])
    ledger.write("two", written[2:])
    assert ledger.read().to_pylist() == [written[2], written[1], written[3], written[0]]
    assert ledger.read(["b", "no such"]).to_pylist() == [written[3], written[0]]
    assert Ledger(ledger.folder.root).read() == ledger.read()


def test_a_row_that_two_orders_wrote_is_read_once(ledger):
    ledger.write("one", [row("a", 0), row("a", 1)])
    ledger.write("two", [row("a", 1, attempt=2), row("a", 2)])
    assert ledger.read()["episode"].to_pylist() == [0, 1, 2]


def test_writing_an_order_twice_is_harmless(ledger):
    for _ in range(2):
        ledger.write("one", [row("a", 0), row("b", 0)])
    assert files(ledger) == ["one.parquet"]
    assert ledger.read().to_pylist() == [row("a", 0), row("b", 0)]


def test_a_half_written_file_is_ignored(ledger):
    ledger.write("two", [row("a", 1)])
    Path(ledger.folder.root, "rows", "_one.parquet.3f.part").write_bytes(b"PAR1 and then the worker died")
    assert ledger.read()["episode"].to_pylist() == [1]
    ledger.write("one", [row("a", 0)])
    assert ledger.read()["episode"].to_pylist() == [0, 1]
    ledger.compact(most_files=1)
    assert ledger.read()["episode"].to_pylist() == [0, 1]


def test_many_files_become_one_with_the_same_rows(ledger):
    for episode in range(6):
        ledger.write(f"order {episode}", [row("b", episode), row("a", episode, correct=episode)])
    ledger.write("again", [row("a", 3, attempt=2)])
    before = ledger.read()
    ledger.compact(most_files=7)
    assert len(files(ledger)) == 7
    ledger.compact(most_files=6)
    (first,) = files(ledger)
    assert ledger.read().select(["config_hash", "episode", "correct"]) == before.select(
        ["config_hash", "episode", "correct"]
    )
    ledger.write("order 9", [row("b", 9)])
    ledger.compact(most_files=1)
    assert len(files(ledger)) == 1
    assert files(ledger) != [first]
    assert ledger.read().num_rows == 13


def test_a_ledger_that_is_compacted_while_it_is_read_is_read_again(ledger, monkeypatch):
    ledger.write("one", [row("a", 0)])
    ledger.write("two", [row("a", 1)])
    names, listed = ledger._files(), []

    def stale():
        listed.append(1)
        return names if len(listed) == 1 else Ledger._files(ledger)

    ledger.compact(most_files=1)
    monkeypatch.setattr(ledger, "_files", stale)
    assert ledger.read()["episode"].to_pylist() == [0, 1]
    assert len(listed) == 2


def test_known_rows_are_those_of_the_ledger_and_those_that_came_since(ledger):
    written = [row("b", 2), row("a", 10, accuracy=None, failed=True), row("a", 9), row("c", 1)]
    ledger.write("one", written)
    known = KnownRows(ledger.read())
    assert known.of("a") == {9: written[2], 10: written[1]}
    assert known.of("none") == {}
    known.add([row("a", 9, correct=1), row("d", 4)])
    assert known.of("a")[9] == row("a", 9, correct=1)
    assert known.of("d") == {4: row("d", 4)}
    assert (known.of("b"), known.of("c")) == ({2: written[0]}, {1: written[3]})
    assert KnownRows(Ledger(ledger.folder.uri + "/empty").read()).of("a") == {}


def test_a_damaged_file_is_not_passed_over_in_silence(ledger):
    ledger.write("one", [row("a", 0)])
    Path(ledger.folder.root, "rows", "two.parquet").write_bytes(b"not Parquet")
    with pytest.raises(pa.ArrowInvalid):
        ledger.read()


def test_a_description_is_kept_beside_the_rows(ledger):
    ledger.describe("abc", {"solver": {"lr": 0.01}, "method": 1})
    ledger.describe("abc", {"solver": {"lr": 0.01}, "method": 1})
    (path,) = Path(ledger.folder.root, "configurations").iterdir()
    assert path.name == "abc.json"
    assert json.loads(path.read_text()) == {"solver": {"lr": 0.01}, "method": 1}
    assert ledger.read().num_rows == 0


def test_files_are_plain_parquet(ledger):
    ledger.write("one", [row("a", 0)])
    assert pyarrow.parquet.read_table(Path(ledger.folder.root, "rows", "one.parquet")).to_pylist() == [row("a", 0)]
    assert set(CIRCUMSTANCES) < set(SCHEMA.names)


@pytest.mark.parametrize("folder", [".hidden/_home", "with space", "50%20off", "a#b", "über"])
def test_any_name_of_a_folder_will_do(tmp_path: Path, folder):
    ledger = Ledger(str(tmp_path / folder))
    ledger.write("one", [row("a", 0)])
    assert ledger.read().num_rows == 1
    assert (tmp_path / folder / "rows" / "one.parquet").is_file()
