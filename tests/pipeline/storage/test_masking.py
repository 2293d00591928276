import pickle

import pytest

from pipeline.config import Dataset, Run
from pipeline.storage.masking import has_secrets, masked, sentence, without_secrets

SHOWN = [
    ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
    ("http://:secret@host:5000", "http://:***@host:5000"),
    ("'postgresql+psycopg2://me:sec:ret@host/db' failed", "'postgresql+psycopg2://me:***@host/db' failed"),
    ("mysql://me:se/c@ret@host/db and a@b", "mysql://me:***@host/db and a@b"),
    ("a http://me:12@host/x, b http://me:34@host/y", "a http://me:***@host/x, b http://me:***@host/y"),
    ("postgresql://u@host:5432/db?user=me&password=secret&a=b", "postgresql://u@host:5432/db?user=me&password=***&a=b"),
    ("https://TOKEN@host/x", "https://***@host/x"),
    ("git+https://TOKEN@host/x", "git+https://***@host/x"),
    ("s3://KEY:SECRET@bucket/x", "s3://***@bucket/x"),
    ("s3://KEY:SEC/RET+x@bucket/x?region=eu", "s3://***@bucket/x?region=eu"),
    ("gs://KEY@bucket/x", "gs://***@bucket/x"),
    ("https://h/x?token=a&access_token=b&page=2", "https://h/x?token=***&access_token=***&page=2"),
    ("https://h/x?sv=1&sig=abc%2F&sp=r", "https://h/x?sv=1&sig=***&sp=r"),
    ("https://h/x?X-Amz-Credential=a/b&X-Amz-Signature=c", "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***"),
    ("https://h/x?X-Goog-Signature=c", "https://h/x?X-Goog-Signature=***"),
    ("https://h/x?AWSAccessKeyId=a&Signature=b&Expires=1", "https://h/x?AWSAccessKeyId=***&Signature=***&Expires=1"),
    ("https://h/x?key=AIza&a=b", "https://h/x?key=***&a=b"),
    (
        "s3://b/x?access_key=a&secret_key=b&endpoint_override=h",
        "s3://b/x?access_key=***&secret_key=***&endpoint_override=h",
    ),
    ("AccountName=me;AccountKey=abc==;X=1", "AccountName=me;AccountKey=***;X=1"),
    ("host=h password='a b' user=me", "host=h password='***' user=me"),
    ('{"token": "abc", "a": 1}', '{"token": "***", "a": 1}'),
    ("{'password': 'x y', 'b': 'c'}", "{'password': '***', 'b': 'c'}"),
    ("uri=s3%3A%2F%2Fk%3As%40b%2Fx%3Ftoken%3Dabc", "uri=s3%3A%2F%2Fk%3A***%40b%2Fx%3Ftoken%3D***"),
    ("Authorization: Bearer abcdef1234567890abcdef", "Authorization: Bearer ***"),
    ("used AKIAABCDEFGHIJKLMNOP for it", "used *** for it"),
    ("HF_TOKEN=hf_abc in it", "HF_TOKEN=*** in it"),
]
KEPT = [
    "no ssh://me@host and http://host:5000/a@b",
    "sqlite:////home/a:b/mlflow.db",
    "http://host:5000?x=a@b",
    "s3://bucket/a@b/c?region=eu",
    "abfss://container@account.dfs.core.windows.net/x",
    "https://github.com/a/b@v1",
    "solver.tokens=8 and {'tokens': 5}",
    "the token must be one word but holds spaces",
    "a basic understanding of [CLS] token: none",
    "lora · lambda 1 · alpha 7 · tau 1 · P 6 · lr 0.005",
]


@pytest.mark.parametrize(("said", "shown"), [*SHOWN, *((kept, kept) for kept in KEPT)])
def test_secrets_are_not_shown_and_all_else_is(said, shown):
    assert without_secrets(said) == shown
    assert without_secrets(shown) == shown
    assert has_secrets(said) == (said != shown)
    assert without_secrets(f"({said})").startswith("(")


def test_a_sentence_is_a_line():
    assert sentence(OSError("no\n  https://me:x@h/y\nthere")) == "no https://me:***@h/y there"


def test_whatever_holds_a_uri_is_masked_as_deep_as_it_lies():
    told = {"a": [{"b": ("s3://k:s@b/x", 1)}], "c": None, "d": "plain"}
    assert masked(told) == {"a": [{"b": ("s3://***@b/x", 1)}], "c": None, "d": "plain"}


def test_a_configuration_is_described_without_secrets_and_keeps_its_own():
    uri = "s3://KEY:SECRET@bucket/photos.arrow"
    run = Run(dataset=Dataset(source="packed", path=uri))
    assert run.model_dump(mode="json", by_alias=True)["dataset"]["path"] == "s3://***@bucket/photos.arrow"
    assert "SECRET" not in run.model_dump_json()
    assert set(run.model_dump(mode="json", include={"dataset", "solver"})) == {"dataset", "solver"}
    assert "hold_out" not in run.model_dump(mode="json")["dataset"]
    again = Run.model_validate(run.model_dump(by_alias=True))
    assert again.dataset.path == pickle.loads(pickle.dumps(run)).dataset.path == uri
