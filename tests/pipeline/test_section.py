from typing import Annotated

import pytest
from pydantic import ValidationError

from pipeline.section import PathText, Section, one_of


class Place(Section):
    kind: Annotated[str, one_of(("folder", "bucket"))] = "folder"
    path: PathText = "."


def test_a_section_is_frozen_and_knows_its_fields():
    place = Place()
    with pytest.raises(ValidationError, match="frozen"):
        place.kind = "bucket"
    with pytest.raises(ValidationError, match="Extra inputs"):
        Place(size=3)
    with pytest.raises(ValidationError, match="Input should be one of folder, bucket"):
        Place(kind="drawer")


def test_a_path_is_whole_and_described_without_secrets(monkeypatch):
    monkeypatch.setenv("WHERE", "photos")
    assert Place(path="$WHERE/a").path == "photos/a"
    secret = Place(kind="bucket", path="s3://KEY:SECRET@bucket/a")
    assert "SECRET" in secret.model_dump()["path"]
    assert "SECRET" not in secret.model_dump(mode="json")["path"]
