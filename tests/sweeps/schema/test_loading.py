"""A configuration is read from a file, and overrides replace its fields."""

import re
from pathlib import Path

import pytest

from sweeps.schema.loading import load, load_whole
from sweeps.schema.space import Range
from sweeps.schema.sweep import Sweep
from tests.sweeps.tiny import CONFIG, TINY


def test_overrides_replace_fields_at_any_depth():
    sweep = load(
        CONFIG,
        [
            *TINY,
            "prompts.lambda=2.5",
            "solver.lr=1e-3",
            "search.space.tau.high=9",
            "search.space.lambda={low: 1, high: 2}",
            "search.first.mine={alpha: 3, lr: 0.01}",
            "search.first.paper defaults.alpha=5",
            "tracking_uri=http://host:5000",
            "name=2x2",
            "final.masks=false",
        ],
    )
    assert (sweep.episodes.way, sweep.dataset.images_per_class) == (3, 8)
    assert sweep.search.rungs == (2, 4)
    assert (sweep.prompts.lam, sweep.solver.lr) == (2.5, 0.001)
    assert sweep.search.space["tau"] == Range(low=0.3, high=9, log=True)
    assert sweep.search.space["lambda"] == Range(low=1, high=2)
    assert sweep.search.first["mine"] == {"alpha": 3, "lr": 0.01}
    assert sweep.search.first["paper defaults"]["alpha"] == 5
    assert (sweep.tracking_uri, sweep.name, sweep.final.masks) == ("http://host:5000", "2x2", False)
    assert sweep.solver.rank == 4


def test_the_last_of_two_overrides_counts():
    assert load(CONFIG, ["solver.rank=2", "solver.rank=3"]).solver.rank == 3


def test_an_override_may_name_a_section_that_the_file_lacks(tmp_path: Path):
    path = tmp_path / "short.yaml"
    path.write_text("name: short\n")
    assert load(path, ["compute.workers=3"]) == Sweep(name="short", compute={"workers": 3})


def test_a_value_that_is_no_yaml_is_a_mistake_too():
    with pytest.raises(ValueError, match=r"^--set solver\.rank must hold YAML but got '\[': .* in line 1, column 2$"):
        load(CONFIG, [*TINY, "solver.rank=["])


ODD = [
    "photos #2",
    "2024",
    "001",
    "2024_05",
    "on",
    "@x",
    "[old] x",
    "12:30:45",
    "a: b",
    "1e3",
    "*a",
    "%x",
    "'q'",
    "a=b",
    " x",
]
TEXT = {
    "name": lambda sweep: sweep.name,
    "home": lambda sweep: sweep.home,
    "dataset.path": lambda sweep: sweep.dataset.path,
    "backbone.weights": lambda sweep: sweep.backbone.weights,
    "tracking_uri": lambda sweep: sweep.tracking_uri,
    "episodes.split": lambda sweep: sweep.episodes.split,
    "search.split": lambda sweep: sweep.search.split,
}


@pytest.mark.parametrize("typed", ODD)
@pytest.mark.parametrize("field", TEXT)
def test_text_is_taken_as_it_was_typed(field, typed):
    sweep = load(CONFIG, ["dataset={source: folder, path: photos}", f"{field}={typed}"])
    assert TEXT[field](sweep) == typed


@pytest.mark.parametrize("typed", ["null", ""])
def test_text_that_may_be_null_can_be(typed):
    assert load(CONFIG, ["tracking_uri=http://host", f"tracking_uri={typed}"]).tracking_uri is None
    assert load(CONFIG, [f"name={typed}"]).name == typed


@pytest.mark.parametrize("number", ["5e-3", "5E-3", "+5e-3", "0.005", "5.e-3", ".005"])
def test_a_number_is_a_number_wherever_it_stands(number, tmp_path):
    path = tmp_path / "config.yaml"
    space = f"{{lr: {{low: {number}, high: 1}}, tau: {{choices: [{number}, 1]}}}}"
    path.write_text(f"solver: {{lr: {number}}}\nsearch: {{space: {space}, first: {{mine: {{lr: {number}}}}}}}\n")
    sweep = load(path, [f"search.first.other.lr={number}"])
    found = [sweep.solver.lr, sweep.search.space["lr"].low, sweep.search.space["tau"].choices[0]]
    found += [sweep.search.first[name]["lr"] for name in ("mine", "other")]
    assert found == [0.005] * 5
    assert all(isinstance(value, float) for value in found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: a\nsolver: {name: lora}\nsolver: {blocks: 2}\n", "solver is in lines 2 and 3"),
        ("solver:\n  lr: 1\n  rank: 2\n  lr: 2\n", r"solver\.lr is in lines 2 and 4"),
        ("solver: {lr: 1, lr: 2}\n", r"solver\.lr is in line 1 twice"),
        ("table: {solvers: {}, at_shot: {1: {}, 5: {}, 1: {}}}\n", r"table\.at_shot\.1 is in line 1 twice"),
        ("name: a\n'name': b\n", "name is in lines 1 and 2"),
        ("search:\n  first:\n  - {a: 1,\n     a: 2}\n", r"search\.first\.a is in lines 3 and 4"),
    ],
)
def test_a_field_that_is_twice_is_refused(content, said, tmp_path):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(ValueError, match=f"^CONFIG must have each field once but {said}$"):
        load(tmp_path / "c.yaml", [])


SECRET = "hunter2-TOKEN"
OTHERS = {
    "a token": SECRET,
    "passwords": f"root:x:0:0:{SECRET}:/root:/bin/sh\nme:{SECRET}:1:1::/home:/bin/sh\n",
    "a key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n",
    "netrc": f"machine a.org\nlogin me\npassword {SECRET}\n",
    "ini": f"[default]\naws_secret_access_key = {SECRET}\n",
    "environment": f'export TOKEN="{SECRET}"\nexport B=@{SECRET}\n',
    "json": f'{{"private_key": "{SECRET}", "client_email": "x@y"}}',
    "another yaml": f"apiVersion: v1\nusers:\n- name: a\n  user: {{token: {SECRET}}}\n",
    "another yaml with a field of ours": f"search: {SECRET}\nfinal: {SECRET}\nkind: Secret\n",
    "an alias": f"name: *{SECRET}\n",
    "a tag": f"name: !{SECRET} x\n",
    "an anchor": f"name: &{SECRET}! x\n",
    "a value cut off": f"name: '{SECRET}\n",
    "a percent": f"%{SECRET} x\n",
    "two documents": f"name: a\n---\nname: {SECRET}\n",
    "a list": f"- {SECRET}\n",
    "no text": SECRET.encode() + b"\xff\xfe\x00",
    "nulls": f"name: {SECRET}\0".encode(),
    "a date": f"when: !!timestamp {SECRET}\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_in_another_file_is_never_told(kind, tmp_path):
    path, content = tmp_path / "c.yaml", OTHERS[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"^(CONFIG must|kind is not a field; did you mean)[^\n]*$") as caught:
        load(path, [])
    assert "hunter2" not in str(caught.value)


def test_aliases_that_stand_for_too_much_are_refused_at_once(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    (tmp_path / "c.yaml").write_text("\n".join(rows))
    with pytest.raises(
        ValueError, match=r"^CONFIG must be YAML but .* its aliases stand for more than 100,000 values$"
    ):
        load(tmp_path / "c.yaml", [])


def test_aliases_are_read_where_they_are_few(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "search:\n  space: {tau: &r {low: 1, high: 2}, lambda: *r, lr: {<<: *r, high: 3}}\n"
    )
    space = load(tmp_path / "c.yaml", []).search.space
    assert space["tau"] == space["lambda"] == Range(low=1, high=2)
    assert space["lr"] == Range(low=1, high=3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_unicode_whatever_the_locale(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    (tmp_path / "c.yaml").write_bytes("name: Prüfung → 1\n".encode(encoding))
    assert load(tmp_path / "c.yaml", []).name == "Prüfung → 1"


def test_a_section_that_is_empty_may_be_filled(tmp_path):
    (tmp_path / "c.yaml").write_text("name: a\ncompute:\n")
    assert load(tmp_path / "c.yaml", ["compute.workers=2"]).compute.workers == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "CONFIG must be a YAML file but '.*' is none"),
        ("", "CONFIG must hold fields and values, like name: glyphs, but .* holds nothing"),
        ("- 1\n- 2\n", "CONFIG must hold fields and values, like .* holds a list"),
        ("name: [a\n", "CONFIG must be YAML but .* is not: [^\n]*"),
    ],
)
def test_a_file_that_is_none_is_said_to_be_so(tmp_path: Path, content, sentence):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        load(path, [])


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(ValueError, match="CONFIG must be a YAML file"):
        load(tmp_path, [])


SENSIBLE = [
    "episodes.count=1000000",
    "search.trials=100000",
    "episodes.seed=4611686018427387904",
    "search.seed=4611686018427387904",
    "episodes.seed=9223372036854775806",
    "search.problems=1000000",
    "search.more=100000",
    "search.finalists=1000",
    "search.parallel=4096",
    "final.most=1000000",
    "compute.cache_megabytes=2000000",
    "compute.order_seconds=604800",
    "solver.epochs=10000",
    "prompts.lambda=100000",
]


@pytest.mark.parametrize("override", SENSIBLE)
def test_bounds_refuse_nothing_sensible(override):
    assert load(CONFIG, [override])


ABSURD = [
    *(f"{field}=10000000000" for field in ("episodes.count", "final.episodes", "final.most", "solver.batch")),
    *(f"solver.{field}=100000000" for field in ("rank", "tokens", "epochs", "blocks", "temperature")),
    *(f"prompts.{field}=1e10" for field in ("lambda", "alpha", "tau")),
    *(f"prompts.{field}=100000000" for field in ("patches", "layers")),
    *(f"episodes.{field}=100000000" for field in ("way", "shot", "query")),
    *(
        f"compute.{field}=1000000000"
        for field in ("workers", "threads_per_worker", "gpus_per_worker", "stack", "shard")
    ),
    *(f"compute.{field}=1000000000" for field in ("settings", "cache_megabytes", "order_seconds", "idle_seconds")),
    *(f"{field}=9223372036854775807" for field in ("episodes.seed", "search.seed", "dataset.split_seed")),
    *(f"search.{field}=100000000" for field in ("problems", "trials", "more", "finalists", "parallel")),
    "search.rungs=[1, 10000000000]",
    "dataset.images_per_class=100000000",
    "backbone.image_size=1000000",
    "solver.lr=1e39",
    "final.precision=101",
    "dataset.shares={validation: -1, novel: 2}",
]


@pytest.mark.parametrize("override", ABSURD)
def test_a_number_out_of_bounds_is_one_sentence_with_field_bound_and_value(override):
    field = override.partition("=")[0]
    with pytest.raises(
        ValueError, match=rf"^{re.escape(field)}\S* must be (less|greater) than or equal to \S+ but got \S+$"
    ):
        load(CONFIG, [override])


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000])
def test_a_value_that_python_cannot_read_is_one_short_sentence(value, tmp_path):
    with pytest.raises(ValueError, match=r"^--set solver\.rank must hold YAML but got ") as refused:
        load(CONFIG, [f"solver.rank={value}"])
    assert len(str(refused.value)) < 500
    (tmp_path / "one.yaml").write_text(f"solver: {{rank: {value}}}")
    with pytest.raises(ValueError, match=r"^CONFIG must be YAML but .* is not: ") as refused:
        load(tmp_path / "one.yaml", [])
    assert len(str(refused.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("dataset={source: folder, path: 's3://***@bucket/photos'}", "dataset.path"),
        ("home=s3://bucket/x?token=***", "home"),
        ("tracking_uri=postgresql://me:***@host/db", "tracking_uri"),
    ],
)
def test_what_was_written_without_its_secret_is_not_run(override, field):
    assert load(CONFIG, [override])  # it is read, though, to draw a report again
    with pytest.raises(
        ValueError, match=rf"^{field} must be whole but '.*' has \*\*\* where .* --set {field}=\.\.\. gives"
    ):
        load_whole(CONFIG, [override])


def test_stars_elsewhere_are_nobodys_secret():
    assert load_whole(CONFIG, ["name=my *** sweep"]) == load(CONFIG, ["name=my *** sweep"])
