"""A configuration is read from a file, and overrides replace its fields."""

import re
from pathlib import Path

import pytest

from sweeps.schema.loading import load
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
    with pytest.raises(ValueError, match="name"):
        load(CONFIG, [*TINY, "name=["])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "CONFIG must be a YAML file but '.*' is none"),
        ("", "CONFIG must hold fields and values but .* holds None"),
        ("- 1\n- 2\n", r"CONFIG must hold fields and values but .* holds \[1, 2\]"),
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
    "search.generation=4096",
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
    *(f"search.{field}=100000000" for field in ("trials", "generation")),
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


@pytest.mark.parametrize("value", ["9" * 5000, "2020-13-45", "[" * 5000])
def test_a_value_that_python_cannot_read_is_one_short_sentence(value, tmp_path):
    with pytest.raises(ValueError, match=r"^--set solver\.rank must hold YAML but got ") as refused:
        load(CONFIG, [f"solver.rank={value}"])
    assert len(str(refused.value)) < 500
    (tmp_path / "one.yaml").write_text(f"solver: {{rank: {value}}}")
    with pytest.raises(ValueError, match=r"^CONFIG must be YAML but .* is not: ") as refused:
        load(tmp_path / "one.yaml", [])
    assert len(str(refused.value)) < 500 + len(str(tmp_path))
