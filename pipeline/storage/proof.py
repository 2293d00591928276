"""A file of the ledger proves that its rows are those that were written: page checksums, a digest, and arithmetic."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from pipeline.storage.schema import LATER, SCHEMA

DIGEST = b"fpt.sha256"  # the key of a file's metadata that holds the digest of its rows
ROUNDING = 1e-6  # that an accuracy may differ by from correct / queries


class DamagedError(ValueError):
    """A file's content is not what was written there, or never was the ledger's; the message says what is wrong."""


def parquet_of(table: pa.Table) -> memoryview:
    """Returns a table as a Parquet file with checksums of its pages and a digest of its rows."""
    sink = pa.BufferOutputStream()
    proven = table.replace_schema_metadata({DIGEST: digest_of(table)})
    # A file is read whole: statistics would say in its footer the least and the greatest scores, at full length.
    pyarrow.parquet.write_table(proven, sink, write_page_checksum=True, write_statistics=False)
    return memoryview(sink.getvalue())


def rows_of(content: bytes) -> pa.Table:
    """Returns the rows of a Parquet file's content, as SCHEMA has them. A file that is older than digests is checked by
    its checksums, if there are any, and by arithmetic. Raises DamagedError for anything else than a ledger's own rows.
    """
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        expected = (file.metadata.metadata or {}).get(DIGEST)
        table = file.read(use_threads=False)
        table.validate(full=True)
        names = [name.encode().decode() for name in table.column_names]
    except Exception as error:  # the content is in memory: whatever cannot be read of it is damage
        raise DamagedError(f"it cannot be read: {' '.join(str(error).split())[:200]}") from error
    if len(set(names)) < len(names):
        raise DamagedError("it has two columns of one name")
    if table.num_rows != file.metadata.num_rows:
        raise DamagedError(f"it holds {table.num_rows} rows but says {file.metadata.num_rows}")
    if expected is not None and digest_of(table) != expected:
        raise DamagedError("its rows are not those that its digest is of")
    return _checked(table, expected is not None)


def digest_of(table: pa.Table) -> bytes:
    """Returns the SHA-256, in hexadecimal digits, of a table's rows in their order: names and types of columns, which
    values are null, and the values. How rows lie in memory or in a file does not matter.
    """
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        # what a list calls its values depends on who made it
        kind = f"list of {column.type.value_type}" if pa.types.is_list(column.type) else str(column.type)
        digest.update(f"\0{name} {kind} {len(column)}\0".encode())
        for part in _parts(_whole(column)):
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest().encode()


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _parts(array: pa.Array) -> Iterator[np.ndarray]:
    """Yields what an array consists of, as numbers: what is null, then the values, with zeros for nulls."""
    if array.null_count:
        yield np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    kind = array.type
    if pa.types.is_list(kind):
        yield pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        yield from _parts(array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        filled = pc.fill_null(array, "" if pa.types.is_string(kind) else b"")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False)
        yield np.frombuffer(_text(filled), np.uint8)
    elif pa.types.is_boolean(kind):
        yield pc.fill_null(array, False).to_numpy(zero_copy_only=False).view(np.uint8)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    elif not pa.types.is_null(kind):
        raise DamagedError(f"it has a column of {kind}, which no ledger has")


def _text(array: pa.Array) -> bytes:
    """Returns the characters of an array of text, or the bytes of one of bytes, without nulls, one after the other."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    ends = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[ends[0] : ends[-1]].tobytes()


def _checked(table: pa.Table, proven: bool) -> pa.Table:
    """Returns a file's table with the columns of SCHEMA. What a file that is not `proven` by a digest leaves open in
    its numbers is not taken for a result. Raises DamagedError for what cannot be rows of a ledger.
    """
    columns = []
    for field in SCHEMA:
        if field.name in table.column_names:
            column = table[field.name]
            if column.type != field.type:
                raise DamagedError(f"its column {field.name} must hold {field.type} but holds {column.type}")
        elif field.name in LATER:
            column = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        else:
            raise DamagedError(f"it has no column {field.name}, which every file of a ledger has")
        columns.append(column)
    rows = pa.table(columns, schema=SCHEMA)
    if rows.num_rows:
        _check_numbers(rows, proven)
    return rows


def _check_numbers(rows: pa.Table, proven: bool) -> None:
    """Raises DamagedError where numbers contradict each other: accuracy is correct / queries, and the hits of the
    classes add up to correct.
    """

    def of(name: str) -> pa.Array:
        return _whole(rows[name])

    def there(*names: str) -> np.ndarray:
        known: np.ndarray = np.logical_and.reduce(
            [of(name).is_valid().to_numpy(zero_copy_only=False) for name in names]
        )
        return known

    def numbers(name: str) -> np.ndarray:
        values: np.ndarray = of(name).cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
        return values

    def refuse(wrong: np.ndarray, why: str) -> None:
        if wrong.any():
            number = int(np.flatnonzero(wrong)[0])
            which = f"episode {rows['episode'][number]} of {str(rows['config_hash'][number])!r}"
            raise DamagedError(f"in {int(wrong.sum())} of its {len(wrong)} rows {why}, as in that of {which}")

    refuse(~there("config_hash", "episode") | (numbers("episode") < 0), "no episode of a configuration is named")
    if not proven:
        needed = there("correct", "queries", "class_hits", "failed")
        refuse(~needed, "there is a number missing, and the file has no digest")
    accuracy, correct, queries = (numbers(name) for name in ("accuracy", "correct", "queries"))
    counted, judged = there("correct", "queries"), there("accuracy")
    refuse(counted & ((correct < 0) | (correct > queries)), "correct is not between 0 and queries")
    refuse(judged & ~((accuracy >= 0) & (accuracy <= 1)), "accuracy is not between 0 and 1")
    expected = np.divide(correct, queries, out=np.full(len(correct), np.nan), where=queries > 0)
    refuse(counted & judged & ~(np.abs(accuracy - expected) <= ROUNDING), "accuracy is not correct / queries")
    refuse(there("failed") & ((numbers("failed") > 0) == judged), "there is an accuracy of what failed, or the reverse")
    hits = of("class_hits")
    lengths = hits.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    values = hits.flatten().fill_null(-1).to_numpy(zero_copy_only=False)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    refuse(np.bincount(owners[values < 0], minlength=len(lengths)) > 0, "class_hits holds what is no count")
    sums = np.bincount(owners, weights=values, minlength=len(lengths))
    refuse(there("correct", "class_hits") & (sums != correct), "class_hits do not add up to correct")
    least = 2 * lengths * queries  # bytes of scores: two for each class of each query, and of outsiders
    size = pc.binary_length(of("scores")).fill_null(0).to_numpy(zero_copy_only=False)
    odd = (size < least) | (size % np.maximum(2 * lengths, 1) != 0)
    refuse(there("scores", "queries", "class_hits") & odd, "scores are not those of its queries")
