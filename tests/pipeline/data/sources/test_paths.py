from pathlib import Path

import pytest

from pipeline.data.sources.paths import of_windows
from tests.pipeline.data.sources.trees import grow


@pytest.mark.parametrize(
    ("name", "here"),
    [
        (r"heron\1.jpg", "heron/1.jpg"),
        (r".\heron\1.jpg", "heron/1.jpg"),
        (r"C:\Users\me\photos\heron\1.jpg", "heron/1.jpg"),
        (r"\\server\share\photos\heron\1.jpg", "heron/1.jpg"),
        (r"C:\photos\heron/1.jpg", "heron/1.jpg"),
        ("heron/1.jpg", None),
        (r"odd\name.jpg", None),
        (r"heron\2.jpg", None),
        (r"C:\photos\heron\2.jpg", None),
        (r"..\outside.jpg", None),
        (r"C:\photos\..\..\outside.jpg", None),
    ],
)
def test_paths_of_windows_are_found_here(tmp_path: Path, name, here):
    root = grow(tmp_path / "photos", {"heron/1.jpg": "", r"odd\name.jpg": ""})
    grow(tmp_path, {"outside.jpg": ""})
    assert of_windows(root, name) == here
