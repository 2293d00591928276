import json
import re
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.storage.descriptions import configuration_hash
from pipeline.storage.folder import Folder
from pipeline.storage.ledger import CIRCUMSTANCES, MOST_SAID, SCHEMA, KnownRows, Ledger
from pipeline.storage.proof import parquet_of


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
        "scores": None,
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


@pytest.fixture(params=["disk", "bucket"])
def anywhere(request, tmp_path: Path):
    """A ledger on a disk, and one on an object store, which fsspec's store in memory stands for."""
    if request.param == "disk":
        yield Ledger(str(tmp_path / "ledger"))
    else:
        yield Ledger("memory://bucket/ledger")
        fsspec.filesystem("memory").store.clear()


DAMAGE = {
    "truncated": lambda content: content[:-20],
    "empty": lambda content: b"",
    "no Parquet": lambda content: b"not Parquet",
    "a bit flipped": lambda content: content.replace(b"worker-0", b"worker-1", 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_set_aside_and_named_and_only_its_rows_are_gone(anywhere, damage, capfd, caplog):
    anywhere.write("one", [row("a", 0), row("b", 0)])
    anywhere.write("two", [row("a", 1)])
    content = anywhere.folder.read("rows/two.parquet")
    wrong = DAMAGE[damage](content)
    anywhere.folder.write("rows/two.parquet", wrong)
    assert anywhere.read().to_pylist() == [row("a", 0), row("b", 0)]
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match(
        r"fpt: \S+/rows/two\.parquet is damaged: it .*; it is kept as \S+/damaged/two\.parquet, and its ", line
    )
    (event,) = [record for record in caplog.records if hasattr(record, "facts")]
    assert (event.levelname, event.facts["file"]) == ("WARNING", "rows/two.parquet")
    assert anywhere.folder.read("damaged/two.parquet") == wrong
    assert anywhere.read().num_rows == 2
    assert capfd.readouterr().err == ""
    anywhere.write("two", [row("a", 1)])
    assert anywhere.read().num_rows == 3
    anywhere.folder.write("rows/two.parquet", wrong + b"more")  # once more, and the first stays as it is
    assert anywhere.read(["a"]).to_pylist() == [row("a", 0)]
    assert anywhere.folder.names("damaged") == ["two.parquet", "two.parquet.2"]


def test_what_is_damaged_is_not_lost_when_files_become_one(ledger):
    for episode in range(3):
        ledger.write(f"order {episode}", [row("a", episode)])
    Path(ledger.folder.root, "rows", "order 1.parquet").write_bytes(b"damage")
    ledger.compact(most_files=1)
    assert ledger.read()["episode"].to_pylist() == [0, 2]
    assert len(files(ledger)) == 1
    assert Path(ledger.folder.root, "damaged", "order 1.parquet").read_bytes() == b"damage"


def test_damage_that_cannot_be_moved_is_only_left_out(ledger, monkeypatch, capfd):
    def refuse(*_):
        raise PermissionError("read-only")

    ledger.write("one", [row("a", 0)])
    damaged = Path(ledger.folder.root, "rows", "two.parquet")
    damaged.write_bytes(b"damage")
    monkeypatch.setattr(Folder, "move", refuse)
    assert ledger.read().num_rows == 1
    assert "left where it is (read-only)" in capfd.readouterr().err
    ledger.compact(most_files=1)
    assert damaged.read_bytes() == b"damage"


def test_much_damage_is_told_in_few_lines(ledger, capfd):
    for episode in range(MOST_SAID + 5):
        ledger.write(f"order {episode}", [row("a", episode)])
        Path(ledger.folder.root, "rows", f"order {episode}.parquet").write_bytes(b"damage")
    assert ledger.read().num_rows == 0
    assert len(capfd.readouterr().err.splitlines()) == MOST_SAID
    assert ledger.set_aside == MOST_SAID + 5


def test_a_description_is_kept_beside_the_rows(ledger):
    described = {"solver": {"lr": 0.01}, "method": 1}
    name = configuration_hash(described)
    for _ in range(2):
        ledger.describe(name, described)
    (path,) = Path(ledger.folder.root, "configurations").iterdir()
    assert path.name == f"{name}.json"
    assert json.loads(path.read_text()) == ledger.description(name) == described
    assert ledger.read().num_rows == 0
    assert ledger.description("0" * 12) is None


def test_a_description_of_something_else_is_set_aside_and_written_again(anywhere, capfd):
    described = {"solver": {"lr": 0.01}, "method": 1}
    name = configuration_hash(described)
    anywhere.folder.write(f"configurations/{name}.json", b'{"solver": {"lr": 0.02}, "method": 1}')
    assert anywhere.description(name) is None
    assert f"configurations/{name}.json is damaged: what it describes has the hash " in capfd.readouterr().err
    anywhere.describe(name, described)
    assert anywhere.description(name) == described
    assert anywhere.folder.names("damaged") == [f"{name}.json"]


def test_scores_come_back_and_cost_nothing_where_there_are_none(ledger):
    """Kept are 4 bytes for each of 6 queries and an outsider; compacting and packing keep them."""
    kept = [row("a", 0, scores=bytes(range(28))), row("b", 0), row("b", 1, scores=bytes(28))]
    ledger.write("one", kept[:1])
    ledger.write("two", kept[1:])
    ledger.compact(most_files=1)
    assert files(ledger)[0].startswith("all-")
    assert ledger.read().to_pylist() == kept
    known = KnownRows(ledger.read())
    assert [known.of("a")[0]["scores"], known.of("b")[0]["scores"]] == [bytes(range(28)), None]
    many = pa.Table.from_pylist([row("a", i) for i in range(1000)], SCHEMA)
    assert many["scores"].nbytes <= 1000 * (8 + 1 / 8) + 8  # in memory: where each begins, and that it is null
    with_them, without = (len(parquet_of(one)) for one in (many, many.drop_columns(["scores"])))
    assert with_them - without < 300  # of a file, however many rows it has


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
