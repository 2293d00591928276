import pytest

from pipeline.config import Run
from pipeline.identity import Inputs, hash_of, identity
from pipeline.storage.folder import Home
from pipeline.storage.inspecting import holdings_of
from pipeline.storage.ledger import Ledger
from pipeline.storage.schema import SCHEMA

INPUTS = Inputs("images", "weights", "float32")
ORDERS = ("000000-0123456789abcdef", "000008-0123456789abcdef")


def rows(config_hash, first):
    counted = {"correct": 1, "queries": 2, "class_hits": [1], "failed": False, "accuracy": 0.5}
    named = [{"config_hash": config_hash, "episode": episode} for episode in range(first, first + 8)]
    return [{**dict.fromkeys(SCHEMA.names), **own, **counted} for own in named]


@pytest.fixture
def home(tmp_path):
    """A home with two files of rows of one configuration."""
    home, run = Home(str(tmp_path / "home")), Run()
    ledger, config_hash = Ledger(home.uri_of("ledger")), hash_of(run, INPUTS)
    for number, name in enumerate(ORDERS):
        ledger.write(name, rows(config_hash, 8 * number))
    ledger.describe(config_hash, identity(run, INPUTS))
    return home


def test_a_sound_home_is_told_and_left_as_it_is(home):
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db.lock", "optuna.db", "images/glyphs-1.arrow", "locks/a.lock"):
        home.write(name, b"")
    before = {path: path.read_bytes() for path in home.here.rglob("*") if path.is_file()}
    found = holdings_of(home)
    assert (found.files, found.rows, found.configurations) == (2, 16, 1)
    assert [found.damaged, found.set_aside, found.parts, found.strangers] == [{}, [], [], []]
    assert {path: path.read_bytes() for path in home.here.rglob("*") if path.is_file()} == before


def test_what_is_damaged_cut_off_or_a_strangers_is_named_and_stays(home):
    (config,) = (home.here / "ledger" / "configurations").iterdir()
    config.write_text(config.read_text().replace("float32", "float16"))
    cut = home.here / "ledger" / "rows" / f"{ORDERS[1]}.parquet"
    cut.write_bytes(cut.read_bytes()[:100])
    for name in (
        "ledger/damaged/000000-0123456789abcdee.parquet",
        "ledger/rows/_000016.12345678.part",
        "images/glyphs-1.77.part",
        "ledger/rows/notes.txt",
        "thesis.docx",
    ):
        home.write(name, b"x")
    found = holdings_of(home)
    assert (found.files, found.rows, found.configurations) == (1, 8, 1)
    assert sorted(found.damaged) == [f"configurations/{config.name}", f"rows/{ORDERS[1]}.parquet"]
    assert found.set_aside == ["000000-0123456789abcdee.parquet"]
    assert sorted(found.parts) == ["images/glyphs-1.77.part", "ledger/rows/_000016.12345678.part"]
    assert sorted(found.strangers) == ["ledger/rows/notes.txt", "thesis.docx"]
    assert cut.exists()


def test_an_empty_home_holds_nothing(tmp_path):
    assert holdings_of(Home(str(tmp_path))).files == 0
