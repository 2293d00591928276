"""Which source reads what was typed, where pictures lie in files of many."""

import fsspec
import pytest

from pipeline.data.sources.archives.detecting import detect_archives_below
from pipeline.data.sources.catalogue import detect
from tests.pipeline.data.sources.archives.made import features, parquet, picture, pictures, samples, tar


@pytest.fixture
def both(tmp_path):
    parquet(tmp_path / "hf/data/train-0.parquet", {"image": pictures("ab"), "label": [0, 1]}, features(image=None))
    tar(tmp_path / "wds/a-0.tar", samples("ab"))
    return tmp_path


def test_folders_and_files(both):
    assert detect(both / "hf") == "huggingface"
    assert detect(both / "hf/data/train-0.parquet") == "huggingface"
    assert detect(both / "hf/data/{train,test}-0.parquet") == "huggingface"
    assert detect(both / "wds") == "webdataset"
    assert detect(both / "wds/a-0.tar") == "webdataset"
    assert detect(str(both / "wds/a-{0..3}.tar")) == "webdataset"
    assert detect("hf:owner/name") == "hub"


def test_pictures_that_lie_there_as_files_count_before_archives_of_them(both):
    (both / "wds/heron").mkdir()
    (both / "wds/heron/1.png").write_bytes(picture(0))
    assert detect(both / "wds") == "folder"
    assert detect_archives_below(both / "wds") is None
    assert detect_archives_below(both / "hf") == "huggingface"


def test_a_table_of_paths_stays_a_table(tmp_path):
    assert detect(parquet(tmp_path / "t.parquet", {"path": ["1.jpg"], "label": ["a"]})) == "table"


def test_addresses(both):
    memory = fsspec.filesystem("memory")
    memory.pipe("/tars/a.tar", (both / "wds/a-0.tar").read_bytes())
    memory.pipe("/rows/x/a.parquet", (both / "hf/data/train-0.parquet").read_bytes())
    assert detect("memory://tars/a.tar") == detect("memory://tars") == "webdataset"
    assert detect("memory://rows") == "huggingface"
    with pytest.raises(ValueError, match=r"^root of SRC must name files that are there but lacks 1 \(memory://none\)$"):
        detect("memory://none")
