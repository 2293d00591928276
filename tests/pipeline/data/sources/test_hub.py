"""A data set on the Hub by its name: huggingface_hub itself, against a Hub on this machine."""

import hashlib
import http.server
import json
import sys
import threading
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

from pipeline.data.sources.hub import hub
from tests.pipeline.data.sources.archives.made import features, parquet, picture, pictures
from tests.pipeline.data.sources.trees import grow

COMMIT = "a" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hub as fetching a data set asks for: owner/name has the files of a folder, owner/gated asks for
    consent, others are not there.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/owner/name/revision/"):
            if path.endswith("/v9"):
                return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
            files = [one.relative_to(self.root).as_posix() for one in self.root.rglob("*") if one.is_file()]
            told = {"id": "owner/name", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files], "tags": []}
            return self.answer(200, json.dumps(told).encode(), Content_Type="application/json")
        if path.startswith("/api/datasets/owner/name/tree/"):
            files = [one for one in self.root.rglob("*") if one.is_file()]
            tree = [
                {"type": "file", "path": str(one.relative_to(self.root)), "size": one.stat().st_size, "oid": COMMIT}
                for one in files
            ]
            return self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        if path.startswith("/datasets/owner/name/resolve/"):
            content = (self.root / path.partition("/resolve/")[2].partition("/")[2]).read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            return self.answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)
        if "/owner/gated/" in path:
            return self.answer(403, b"{}", X_Error_Code="GatedRepo")
        return self.answer(404, b"{}", X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content_Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of owner/name; the Hub is this machine."""
    root = tmp_path / "files"
    root.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fetch = partial(
        huggingface_hub.snapshot_download,
        endpoint=f"http://127.0.0.1:{server.server_port}",
        cache_dir=tmp_path / "hub",
        token=False,
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    yield root
    server.shutdown()
    server.server_close()


def test_parquet_files_are_fetched_and_read(files):
    for split in ("train", "test"):
        told = features(image=None, label=["heron", "crow"])
        parquet(files / f"data/{split}-0.parquet", {"image": pictures("ab"), "label": [0, 1]}, told)
    listing = hub("hf:owner/name")
    assert listing.source == "hub"
    assert [(image.split, image.class_name) for image in listing.images] == [
        ("novel", "crow"),
        ("base", "crow"),
        ("novel", "heron"),
        ("base", "heron"),
    ]
    assert listing.notes == (f"owner/name is laid out as huggingface (revision {COMMIT[:12]}).",)


def test_folders_of_pictures_with_metadata_or_without(files):
    grow(files, {f"birds/{name}/{i}.png": picture(i) for i, name in enumerate(("heron", "crow"))})
    grow(files, {"meta/metadata.csv": "file_name,species\n1.png,wren\n", "meta/1.png": picture(5)})
    assert [image.class_name for image in hub("owner/name:birds").images] == ["crow", "heron"]
    listing = hub("hf:owner/name@main:meta", label_column="species")
    assert [(image.class_name, image.path.read_bytes()) for image in listing.images] == [("wren", picture(5))]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:owner", r"must be like hf:owner/name \(hf:owner/name@revision:folder\) but is 'hf:owner'$"),
        ("hf:owner/none", "must be a data set that is there but owner/none is not, or it is private: HF_TOKEN"),
        (
            "hf:owner/gated",
            "must be a data set that may be fetched but owner/gated asks for consent: give it on its page",
        ),
        ("hf:owner/name@v9", "must name a revision of owner/name but it has no v9$"),
        ("hf:owner/name:nix", "must name a folder that owner/name has but it has no nix$"),
        ("hf:owner/-na--me", "must be like hf:owner/name but"),
        (
            "hf:owner/name",
            r"must hold pictures in a layout .* hf:owner/name@refs/convert/parquet is what the Hub may have",
        ),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(files, name, said):
    (files / "script.py").write_text("")
    with pytest.raises(ValueError, match=f"^root of hub {said}") as caught:
        hub(name)
    assert "\n" not in str(caught.value)


def test_a_hub_that_is_away(files, monkeypatch, tmp_path):
    away = partial(huggingface_hub.snapshot_download, endpoint="http://127.0.0.1:9", cache_dir=tmp_path / "other")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
    with pytest.raises(ValueError, match=r"must be what can be fetched but owner/name could not be: .* name a folder"):
        hub("hf:owner/name")


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ValueError, match=r"but that is not installed: pip install huggingface_hub, or fetch owner/name"
    ):
        hub("hf:owner/name")
