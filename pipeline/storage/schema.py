"""The columns of the ledger: one row for each (configuration hash, episode)."""

from typing import TypedDict

import pyarrow as pa

SCHEMA = pa.schema(
    {
        "config_hash": pa.string(),
        "episode": pa.int32(),
        "accuracy": pa.float64(),  # null where the problem failed
        "correct": pa.int32(),
        "queries": pa.int32(),
        "class_hits": pa.list_(pa.int32()),
        "failed": pa.bool_(),
        "prompt_precision": pa.float64(),
        "prompt_chance": pa.float64(),
        "attention_on_key_before": pa.float64(),
        "attention_on_key_after": pa.float64(),
        "seconds": pa.float64(),  # its share of its order's time
        "worker": pa.string(),
        "attempt": pa.int16(),
        "device": pa.string(),  # the kind that it was computed on; null in rows that are older than this column
        # By how much each class of each query is below the highest, in half precision (fpt/problems/keeping.py);
        # queries are in the order of their labels, outsiders last. Null unless episodes.scores asks for it.
        "scores": pa.large_binary(),  # large, as a ledger may hold more than 2 GB of them
    }
)
LATER = ("device", "scores")  # columns that the oldest files lack
# Not part of a result: these differ from run to run.
CIRCUMSTANCES = ("seconds", "worker", "attempt", "device")


class Row(TypedDict):
    """A row is the result of one problem, as SCHEMA keeps it."""

    config_hash: str
    episode: int
    accuracy: float | None
    correct: int
    queries: int
    class_hits: list[int]
    failed: bool
    prompt_precision: float | None
    prompt_chance: float | None
    attention_on_key_before: float | None
    attention_on_key_after: float | None
    seconds: float
    worker: str
    attempt: int
    device: str | None
    scores: bytes | None
