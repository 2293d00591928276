"""Whatever text goes in comes out the same, or is refused in one sentence: hypothesis looks for text that does not."""

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pipeline.config import Run
from pipeline.data.sources.folders import folder
from pipeline.data.sources.listing import escaped
from pipeline.data.sources.tables import table
from pipeline.data.store import ImageStore, Sample, pack
from pipeline.identity import Inputs, configuration_hash, identity
from pipeline.storage.descriptions import description_of
from pipeline.storage.masking import without_secrets
from sweeps.report.markdown import table as markdown_table
from sweeps.schema.lines import in_a_cell, on_a_line
from sweeps.schema.loading import load
from sweeps.schema.sweep import Sweep
from sweeps.tracking.fields import parameters_of_sweep

few = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,  # the same texts every time: a test that fails fails for everybody
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
fewer = settings(few, max_examples=15)

ODD = st.sampled_from("#:@%*!&|>{}[]'\"`,?-~$\\/ \t\n\r\0\u2028\u202e\udcff=é鳥🦆0_.ex")
TEXT = st.one_of(
    st.text(), st.text(ODD), st.sampled_from(["null", "true", "on", "1e3", "2024", "1_0", "12:30:45", "~"])
)
NAMES = st.lists(
    st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47} and not name.startswith(b".")),
    min_size=2,
    max_size=6,
    unique=True,
)


def loaded(tmp_path: Path, *sets: str) -> Sweep:
    path = tmp_path / "c.yaml"
    path.write_text("name: x\n")
    return load(path, list(sets))


def loaded_or_refused(tmp_path: Path, field: str, *sets: str) -> Sweep | None:
    """Returns what the settings make, or None where they are refused, which must be said of the field and on a line."""
    try:
        return loaded(tmp_path, *sets)
    except ValueError as error:
        said = str(error)
    assert field.split(".")[-1] in said
    assert len(on_a_line(said).splitlines()) == 1
    return None


@pytest.mark.parametrize("field", ["name", "dataset.label_column", "episodes.split", "search.split"])
@few
@given(TEXT)
@example("photos #2")
@example("@scratch/x")
@example(" a: b ")
def test_set_takes_text_as_it_is_typed(tmp_path, field, text):
    sets = ["dataset.source=table", "dataset.path=t.csv"]
    if field.startswith("search"):
        sets.append("search.space={lr: {choices: [0.1, 0.2]}}")
    value = loaded_or_refused(tmp_path, field, *sets, f"{field}={text}")
    if value is None:
        return
    for part in field.split("."):
        value = getattr(value, part)
    assert value == text or (value is None and text in ("", "null"))


@few
@given(TEXT)
@example("photos #2")
@example("C:\\photos\\x")
def test_set_takes_a_path_as_it_is_typed(tmp_path, text):
    assume("$" not in text and not text.startswith("~"))
    sweep = loaded_or_refused(tmp_path, "dataset.path", "dataset.source=folder", f"dataset.path={text}")
    assert sweep is None or sweep.dataset.path == text


@few
@given(st.floats(1e-6, 1e6), st.sampled_from(["{!r}", "{:.17g}", "{:.17e}", "{:.17E}"]))
def test_set_reads_every_writing_of_a_number(tmp_path, number, writing):
    assert loaded(tmp_path, f"solver.lr={writing.format(number)}").solver.lr == number


@few
@given(st.integers(2, 100_000))
def test_set_reads_whole_numbers(tmp_path, number):
    assert loaded(tmp_path, f"episodes.way={number}").episodes.way == number


@few
@given(TEXT)
def test_what_is_no_number_is_refused_and_never_another_number(tmp_path, text):
    sweep = loaded_or_refused(tmp_path, "solver.lr", f"solver.lr={text}")
    if sweep is not None:
        bare = text.split("#")[0].strip().strip("'\"").replace("_", "")
        whole = not re.search(r"[.eE]", bare) or "x" in bare
        assert sweep.solver.lr == (float(int(bare, 0 if bare[:2] in ("0x", "0o") else 10)) if whole else float(bare))


@few
@given(TEXT)
def test_a_file_says_the_same_as_set(tmp_path, text):
    """JSON is YAML: what a file holds as JSON is what it says."""
    path = tmp_path / "j.yaml"
    assume(all(not 0xD800 <= ord(letter) <= 0xDFFF for letter in text))
    path.write_text(json.dumps({"name": text}))
    typed = loaded_or_refused(tmp_path, "name", f"name={text}")
    assert load(path, []).name == text
    assert typed is None or typed.name == text


@fewer
@given(NAMES)
def test_class_folders_of_any_name_stay_apart_and_come_out_as_they_are(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("photos")
    for name in names:
        inner = os.fsencode(root) + b"/" + name
        try:
            os.mkdir(inner)
        except OSError:
            assume(False)
        Path(os.fsdecode(inner + b"/1.png")).touch()
    listing = folder(root)
    found = {image.class_name for image in listing.images}
    left = [name for name in names if escaped(os.fsdecode(name)) not in found]
    said = " ".join(listing.notes)
    assert all(name.lower() in (b"__macosx", b"lost+found") for name in left) or "passed over" in said
    assert len(found) == len(names) - len(left)
    assert {_bytes_of(name) for name in found} == set(names) - set(left)
    assert all(len(name.splitlines()) == 1 for name in found)
    store = pack(_samples(found), tmp_path_factory.mktemp("packed") / "a.arrow")
    assert set(ImageStore(store).classes("novel")) == found


def _bytes_of(name: str) -> bytes:
    """Returns what a class is called in the file system, read back from its escaped name by another road."""
    parts = re.split(r"(\\\\|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})", name)
    found = b""
    for part in parts:
        if part == "\\\\":
            found += b"\\"
        elif part.startswith("\\x"):
            found += bytes([int(part[2:], 16)])
        elif part.startswith("\\u"):
            found += chr(int(part[2:], 16)).encode()
        else:
            found += part.encode()
    return found


def _samples(names):
    image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool)
    for i, name in enumerate(sorted(names)):
        image = image.copy()
        image[0, 0, 0] = i
        yield Sample("novel", name, image, mask)


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1).filter(
    lambda text: text.strip() == text != "" and not text.startswith(("b'", 'b"'))
)


@fewer
@given(st.lists(CELL, min_size=1, max_size=5))
def test_labels_of_tables_come_out_as_they_are(tmp_path_factory, labels):
    root = tmp_path_factory.mktemp("table")
    stream = io.StringIO(newline="")
    rows = [(f"{i}.png", label) for i, label in enumerate(labels)]
    csv.writer(stream).writerows([("path", "label"), *rows])
    (root / "t.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")
    (root / "t.jsonl").write_text(
        "".join(json.dumps(dict(zip(("path", "label"), row, strict=True))) + "\n" for row in rows)
    )
    pyarrow.parquet.write_table(pa.table({"path": [path for path, _ in rows], "label": labels}), root / "t.parquet")
    for path, _ in rows:
        (root / path).touch()
    for suffix in ("csv", "jsonl", "parquet"):
        found = {image.path.name: image.class_name for image in table(root / f"t.{suffix}").images}
        assert found == {path: escaped(label) for path, label in rows}, suffix


@few
@given(TEXT, TEXT)
def test_escaped_names_differ_where_names_do_and_fit_into_utf8(one, other):
    escaped(one).encode()  # UTF-8 takes it
    assert (escaped(one) == escaped(other)) == (one == other)
    assert len(escaped(one).splitlines()) <= 1


@few
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_report_keeps_rows_and_cells_whatever_stands_in_them(cells):
    heads = [f"column {i}" for i in range(len(cells))]
    lines = markdown_table(heads, [cells])
    assert len(lines) == 3
    assert all(len(line.splitlines()) == 1 for line in lines)
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [len(cells) + 1] * 3
    assert in_a_cell(in_a_cell(cells[0])) == in_a_cell(in_a_cell(in_a_cell(cells[0])))


@few
@given(TEXT)
def test_the_ledger_describes_a_run_as_it_is(text):
    try:
        run = Run.model_validate({"episodes": {"split": text}})
    except ValueError:
        return
    described = identity(run, Inputs("images", "weights", "float32"))
    content = json.dumps(described, sort_keys=True).encode()
    assert description_of(content, configuration_hash(described))["episodes"]["split"] == text


@few
@given(TEXT)
def test_mlflow_is_told_what_was_typed(tmp_path, text):
    try:
        sweep = loaded(tmp_path, "dataset.source=folder", f"dataset.path=/{text.replace('$', '')}")
    except ValueError:
        return
    told = parameters_of_sweep(sweep, {}, set())["dataset.path"]
    assert told == without_secrets(sweep.dataset.path)
