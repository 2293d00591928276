"""The ledger: one Parquet row for each (configuration hash, episode). What is in it is never computed again."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet

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
    }
)
# Not part of a result: these differ from run to run.
CIRCUMSTANCES = ("seconds", "worker", "attempt")


class Ledger:
    """A folder of Parquet files, here or on an object store (any URI that pyarrow.fs knows).

    One order writes one file; its name is the order's, so that writing twice is harmless.
    """

    def __init__(self, uri: str) -> None:
        self.filesystem, self.root = pyarrow.fs.FileSystem.from_uri(uri)
        self.filesystem.create_dir(f"{self.root}/rows", recursive=True)
        self.filesystem.create_dir(f"{self.root}/configurations", recursive=True)

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Stores an order's rows under a temporary name, then renames: a reader sees all of them or none."""
        target = f"{self.root}/rows/{name}.parquet"
        part = f"{self.root}/rows/_{name}.part"
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), part, filesystem=self.filesystem)
        self.filesystem.move(part, target)

    def describe(self, config_hash: str, described: dict[str, Any]) -> None:
        """Keeps what a configuration hash stands for beside the rows."""
        path = f"{self.root}/configurations/{config_hash}.json"
        if self.filesystem.get_file_info(path).type == pyarrow.fs.FileType.NotFound:
            with self.filesystem.open_output_stream(path) as stream:
                stream.write(json.dumps(described, indent=2, sort_keys=True).encode())

    def read(self, config_hashes: list[str] | None = None) -> pa.Table:
        """All rows, or those of some configurations, by configuration and episode; each pair once."""
        dataset = pyarrow.dataset.dataset(
            f"{self.root}/rows",
            schema=SCHEMA,
            format="parquet",
            filesystem=self.filesystem,
            exclude_invalid_files=False,
        )
        chosen = None if config_hashes is None else pyarrow.dataset.field("config_hash").isin(config_hashes)
        table = dataset.to_table(filter=chosen).sort_by([("config_hash", "ascending"), ("episode", "ascending")])
        keys = list(zip(table["config_hash"].to_pylist(), table["episode"].to_pylist(), strict=True))
        first = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
        return table.take(pa.array(first, pa.int64()))
