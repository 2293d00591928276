from dataclasses import replace

import pytest

from fpt.registry import SOLVERS
from pipeline import identity
from pipeline.backbones import BackboneName
from pipeline.config import Compute, Dataset, Run
from pipeline.identity import Found, Inputs

# Another valid value for every field that can change a result, by section.
OTHERS = {
    "episodes": {
        "split": "validation",
        "part": "first classes",
        "way": 4,
        "shot": 4,
        "query": 9,
        "seed": 1,
        "scores": True,
        "query_up_to": 20,
    },
    "solver": {
        "name": "linear_probe",
        "head": "r2d2",
        "temperature": 2.0,
        "head_multiplier": 10.0,
        "lr": 0.01,
        "epochs": 9,
        "batch": 5,
        "blocks": 3,
        "rank": 8,
        "tokens": 5,
        "deep": False,
        "embeddings": True,
    },
    "prompts": {
        "variant": "paper",
        "order": "rollout",
        "lambda": 2.0,
        "alpha": 0.5,
        "tau": 0.5,
        "patches": 5,
        "contrast": 0.5,
        "layers": 2,
        "rows": "all",
        "heads": "each",
    },
}
OWN = {"rank": ["lora"], "tokens": ["vpt"], "deep": ["vpt"], "embeddings": ["full", "ssf"]}  # fields of few solvers
FIELDS = [(section, field) for section, fields in OTHERS.items() for field in fields]
OF_PROMPTS = [("prompts", field) for field in OTHERS["prompts"]]


def made(**sections):
    """A run that adapts two blocks, with fields of some sections replaced."""
    return Run.model_validate({"solver": {"blocks": 2, **sections.pop("solver", {})}, **sections})


def hash_of(run, images="images", weights="weights", precision="float32"):
    return identity.hash_of(run, Inputs(images, weights, precision))


def hash_with(section, field, **sections):
    return hash_of(made(**{**sections, section: {**sections.get(section, {}), field: OTHERS[section][field]}}))


def test_the_table_of_other_values_is_complete():
    for section, fields in OTHERS.items():
        model = type(getattr(Run(), section))
        names = {field.alias or name for name, field in model.model_fields.items()}
        assert set(fields) == names - {"count"}
    assert not set(Run.model_fields) - {*OTHERS, "name", "dataset", "backbone", "backbones", "ensemble", "compute"}


def test_the_hash_is_twelve_digits_and_the_same_again():
    assert len(hash_of(made())) == 12
    assert int(hash_of(made()), 16) >= 0
    assert hash_of(made()) == hash_of(made())


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_the_hash_changes_with_every_field_that_can_change_a_result(section, field):
    sections = {"solver": {"name": OWN.get(field, ["lora"])[0]}}
    if field == "contrast":
        sections["prompts"] = {"variant": "contrast"}
    assert hash_with(section, field, **sections) != hash_of(made(**sections))


@pytest.mark.parametrize("variant", ["paper", "scaled", "official"])
def test_the_hash_has_nothing_to_do_with_contrast_where_no_other_image_is_looked_at(variant):
    assert hash_with("prompts", "contrast", prompts={"variant": variant}) == hash_of(made(prompts={"variant": variant}))


def test_the_hash_changes_with_images_weights_and_method(monkeypatch):
    hashes = {hash_of(made()), hash_of(made(), images="others"), hash_of(made(), weights="others")}
    hashes.add(hash_of(made(), precision="bfloat16"))
    hashes.add(hash_of(made(backbone={"name": "vit_tiny_patch16_224"})))
    hashes.add(hash_of(made(backbone={"image_size": 96})))
    monkeypatch.setattr(identity, "METHOD_VERSION", identity.METHOD_VERSION + 1)
    assert len(hashes | {hash_of(made())}) == 7


@pytest.mark.parametrize(
    "circumstances",
    [
        {"name": "other"},
        {"episodes": {"count": 7}},
        {"backbone": {"weights": False}},  # the weights' fingerprint tells
        {"dataset": {"images_per_class": 29, "distractors": 3}},  # and the images'
        *(
            {"compute": {field: not kind.default if kind.annotation is bool else 3}}
            for field, kind in Compute.model_fields.items()
        ),
    ],
    ids=repr,
)
def test_the_hash_does_not_change_with_anything_else(circumstances):
    assert made(**circumstances) != made()
    assert hash_of(made(**circumstances)) == hash_of(made())


@pytest.mark.parametrize(("section", "field"), [pair for pair in OF_PROMPTS if pair[1] != "alpha"])
def test_without_prompts_nothing_about_them_counts(section, field):
    assert hash_with(section, field, prompts={"alpha": 0}) == hash_of(made(prompts={"alpha": 0}))


@pytest.mark.parametrize("rows", ["patches", "all", "class"])
@pytest.mark.parametrize("variant", ["paper", "scaled", "official", "masks"])
def test_rows_that_are_the_variants_own_are_those_rows(variant, rows):
    left_out, named = ({"variant": variant, **more} for more in ({}, {"rows": rows}))
    own = "all" if variant == "official" else "patches"
    assert (hash_of(made(prompts=left_out)) == hash_of(made(prompts=named))) == (rows == own)
    assert hash_of(made(prompts={**left_out, "rows": None})) == hash_of(made(prompts=left_out))


@pytest.mark.parametrize(
    ("sections", "digits"),
    [
        ({}, "96c8841f94bb"),
        ({"solver": {"name": "ssf"}, "prompts": {"variant": "official", "rows": "all"}}, "1aadd291006e"),
        ({"solver": {"name": "full", "embeddings": False}, "prompts": {"alpha": 0}}, "5b09a0e2ead9"),
    ],
    ids=repr,
)
def test_hashes_are_those_of_the_time_before_a_field_was_there(sections, digits, monkeypatch):
    """They were written down then, of method 3: what a ledger holds is found again."""
    monkeypatch.setattr(identity, "METHOD_VERSION", 3)
    assert hash_of(made(**sections)) == digits


@pytest.mark.parametrize(("section", "field"), OF_PROMPTS)
@pytest.mark.parametrize("solver", [name for name in SOLVERS if not SOLVERS[name].steered])
def test_prompts_count_only_for_solvers_that_take_them(solver, section, field):
    named = {"name": solver}
    assert hash_with(section, field, solver=named) == hash_of(made(solver=named))


@pytest.mark.parametrize(("section", "field"), OF_PROMPTS)
def test_true_masks_hang_on_nothing_that_estimates_them(section, field):
    masks = {"variant": "masks"}
    same = hash_of(made(prompts={**masks, field: OTHERS[section][field]})) == hash_of(made(prompts=masks))
    assert same == (field in ("order", "lambda", "patches", "contrast"))


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_hang_on_what_they_read(solver):
    fields = set(OTHERS["solver"]) - {"name"}
    matter = {field for field in fields if solver in OWN.get(field, [solver])}
    if not SOLVERS[solver].trained:
        matter = set()
    elif solver == "linear_probe":
        matter -= {"blocks"}
    for field in fields if "embeddings" in matter else fields - {"embeddings"}:  # the others refuse it
        same = hash_with("solver", field, solver={"name": solver}) == hash_of(made(solver={"name": solver}))
        assert same == (field not in matter), field


def test_what_a_later_worker_found_otherwise_is_named():
    first = Found("images", "weights", "float32", "cpu", 64, 6, True, {"novel": 6})
    same_elsewhere = Found("images", "weights", "float32", "NVIDIA H100", 64, 6, True, {"novel": 6})
    other = Found("images", "others", "bfloat16", "cpu", 64, 6, True, {"novel": 6})
    assert first.differences(same_elsewhere) == {}
    assert first.differences(other) == {
        "backbone_fingerprint": ("weights", "others"),
        "precision": ("float32", "bfloat16"),
    }
    assert first.inputs == ("images", "weights", "float32")


def test_what_was_found_of_several_backbones():
    """The first stands for all; each is asked for by what a run says of it."""
    here, there = BackboneName(), BackboneName(name="vit_tiny_patch16_224", image_size=64)
    first = Found("images", "weights", "float32", "cpu", 64, 6, True, {"novel": 6})
    second = Found("larger", "others", "float32", "cpu", 16, 12, True, {"novel": 6})
    assert first.of(there) is first
    both = Found.of_several({here: first, there: second})
    assert (both.of(here), both.of(there), both.inputs) == (first, second, first.inputs)
    assert both.described() == {
        "dataset_fingerprint": "images, larger",
        "backbone_fingerprint": "weights, others",
        "precision": "float32, float32",
    }
    assert first.described() == first.inputs._asdict()
    left = both.only([there])
    assert (left.patches, left.of(there), list(left.each)) == (16, second, [there])
    assert both.differences(left)["backbones"] == (["vit_micro_glyphs", "vit_tiny_patch16_224"], [there.name])
    other = Found.of_several({here: first, there: replace(second, backbone_fingerprint="more")})
    assert both.differences(other) == {"backbone_fingerprint of vit_tiny_patch16_224": ("others", "more")}
    assert both.differences(Found.of_several({here: first, there: second})) == {}


def test_labels_of_backbones_are_none_of_what_identifies_a_result():
    with_labels = made(backbones={"mine": {"weights": "/w/mine.safetensors"}})
    assert hash_of(with_labels) == hash_of(made())


OF_A_FOLDER = {"merge_splits": True, "follow_links": True, "classes": "leaf", "leaks": "leave_out"}


def packed_with(source, **fields):
    path = None if source == "glyphs" else "photos"
    return identity.packing_identity(Dataset(**{"source": source, "path": path, **fields}))


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("glyphs", {"images_per_class", "distractors"}),
        ("folder", {"path", "resize", "shares", "split_seed", "hold_out", "all_novel", *OF_A_FOLDER}),
        ("packed", {"path"}),
    ],
)
def test_what_is_packed_hangs_on_what_packing_reads_alone(source, read):
    others = {
        "images_per_class": 7,
        "distractors": 0,
        "resize": "squash",
        "shares": {"novel": 1.0},
        "split_seed": 5,
        "all_novel": True,
        "small_classes": "leave_out",
        "leaks": "leave_out",
        **({} if source == "glyphs" else {"path": "others", "hold_out": "pictures"}),
        **(OF_A_FOLDER if source == "folder" else {}),
    }
    changing = {
        field for field, other in others.items() if packed_with(source, **{field: other}) != packed_with(source)
    }
    assert changing == read


def test_classes_that_are_all_novel_are_not_divided():
    novel = packed_with("folder", all_novel=True)
    assert packed_with("folder", all_novel=True, shares={"novel": 1.0}, split_seed=5) == novel


def test_what_was_packed_before_pictures_could_be_held_out_is_packed_still():
    assert packed_with("folder") == packed_with("folder", hold_out="classes")
    assert set(packed_with("folder")) == {"source", "path", "resize", "shares", "split_seed", "all_novel"}
    assert packed_with("folder", hold_out="pictures") == {**packed_with("folder"), "hold_out": "pictures"}
    for field, value in OF_A_FOLDER.items():
        assert packed_with("folder", **{field: value}) == {**packed_with("folder"), field: value}


def test_an_ensemble_is_its_members_in_any_order():
    members = ({"lr": 0.01, "alpha": 0.0}, {"lr": 0.02})
    inputs = Inputs("images", "weights", "float32")
    hashes = {
        identity.hash_of(Run.model_validate({"ensemble": chosen}), inputs)
        for chosen in (members, members[::-1], members[:1], ({"lr": 0.01, "alpha": 0.0, "tau": 3.0}, {"lr": 0.02}), ())
    }
    assert len(hashes) == 3  # a tau means nothing without prompts
    assert "ensemble" not in Run().model_dump()


def test_members_of_an_ensemble_adapt_as_many_blocks():
    with pytest.raises(
        ValueError, match=r"ensemble must hold settings that adapt as many blocks each but has \[2, 3\]"
    ):
        Run.model_validate({"ensemble": [{"blocks": 2}, {"blocks": 3}]})
    with pytest.raises(ValueError, match="lre is not a field of prompts or solver; did you mean lr"):
        Run.model_validate({"ensemble": [{"lre": 2}]})


@pytest.mark.parametrize(("field", "value"), [("scores", True), ("query_up_to", 20)])
def test_rows_of_a_field_that_came_later_are_others_and_all_hashes_are_those_of_before(field, value):
    plain, other = Run(), Run.model_validate({"episodes": {field: value}})
    inputs = Inputs("images", "weights", "float32")
    assert identity.hash_of(plain, inputs) != identity.hash_of(other, inputs)
    assert field not in identity.identity(plain, inputs)["episodes"]
    assert field not in plain.model_dump()["episodes"]
