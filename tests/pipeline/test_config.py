import pytest
from pydantic import ValidationError

from fpt.registry import HEADS, OF_SOLVERS, SOLVERS
from pipeline import config
from pipeline.config import Run, plain_run, with_hyper_parameters


def made(**sections):
    """A run that adapts two blocks, with fields of some sections replaced."""
    return Run.model_validate({"solver": {"blocks": 2, **sections.pop("solver", {})}, **sections})


def test_solvers_and_heads_are_those_of_the_method():
    for field, names in (("name", SOLVERS), ("head", HEADS)):
        assert [getattr(made(solver={field: name}).solver, field) for name in names] == list(names)
    assert set(config.Solver.model_fields) == OF_SOLVERS | {"name"}


def test_hyper_parameters_go_where_they_belong():
    run = with_hyper_parameters(made(), {"lambda": 3, "alpha": 0, "patches": 2, "lr": 0.5, "name": "protonet"})
    assert (run.prompts.lam, run.prompts.alpha, run.prompts.patches) == (3.0, 0.0, 2)
    assert (run.solver.lr, run.solver.name) == (0.5, "protonet")
    assert run == made(prompts={"lambda": 3, "alpha": 0, "patches": 2}, solver={"lr": 0.5, "name": "protonet"})
    assert with_hyper_parameters(made(), {}) == made()


def test_a_setting_may_name_its_backbone():
    """A label, or a timm model; the run that comes of it knows no labels any more."""
    run = made(backbones={"small": {"name": "vit_tiny_patch16_224", "image_size": 64}})
    there = with_hyper_parameters(run, {"backbone": "small", "lr": 0.5})
    assert there == made(backbone={"name": "vit_tiny_patch16_224", "image_size": 64}, solver={"lr": 0.5})
    assert with_hyper_parameters(run, {"backbone": "vit_micro_glyphs"}) == made()
    assert with_hyper_parameters(made(), {"backbone": "vit_x"}).backbone.name == "vit_x"
    assert "backbones" not in made().model_dump()
    with pytest.raises(ValueError, match="ensemble must leave backbone out, as its members share one, but a member"):
        made(ensemble=[{"lr": 0.1}, {"backbone": "small"}])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lamda": 1}, r"lamda is not a field of prompts or solver; did you mean lambda"),
        ({"way": 3}, "way is not a field of prompts or solver"),
        ({"tau": 0}, "greater than 0"),
        ({"lambda": -1}, "greater than or equal to 0"),
        ({"patches": 0}, "greater than or equal to 1"),
        ({"patches": 2.5}, "integer"),
        ({"alpha": float("nan")}, "finite"),
        ({"layers": 3}, "layers must be at most 2, which is solver.blocks, but got 3"),
        ({"blocks": 1, "layers": 2}, "layers must be at most 1"),
        ({"lr": "fast"}, "number"),
        ({"embeddings": True}, "solver.embeddings must be false for lora, which does not adapt them, but is true"),
        ({"embeddings": True, "name": "r2d2"}, "solver.embeddings must be false for r2d2, which does not adapt them"),
    ],
)
def test_hyper_parameters_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        with_hyper_parameters(made(), values)


def test_layers_do_not_matter_without_prompts():
    assert with_hyper_parameters(made(), {"layers": 3, "alpha": 0}).prompts.layers == 3


def test_a_plain_run_is_the_run_alone():
    class More(Run):
        home: str

    more = More(home="elsewhere", **made().model_dump(by_alias=True))
    assert type(plain_run(more)) is Run
    assert plain_run(more) == made()
    assert plain_run(more, "validation") == made(episodes={"split": "validation"})


def test_models_are_frozen_and_take_no_unknown_field():
    with pytest.raises(ValidationError, match="frozen"):
        made().solver.lr = 1.0
    with pytest.raises(ValidationError, match="Extra inputs"):
        made(solver={"rate": 1.0})


def test_later_fields_of_a_data_set_are_described_where_they_are_not_their_defaults():
    """So sweeps and MLflow's parameters of before are those of now."""
    own = {"source": "folder", "path": "photos"}
    before = {"source", "path", "images_per_class", "distractors", "resize", "shares", "split_seed", "all_novel"}
    assert set(made(dataset=own).model_dump()["dataset"]) == {*before, "small_classes"}
    later = {"merge_splits": True, "follow_links": True, "classes": "leaf", "leaks": "leave_out"}
    run = made(dataset={**own, **later})
    assert later.items() <= run.model_dump(mode="json", by_alias=True)["dataset"].items()
    assert plain_run(run) == run


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"merge_splits": True}, "merge_splits must be false for glyphs, which has no files to list, but is true"),
        (
            {"source": "packed", "path": "a.arrow", "classes": "leaf"},
            "classes must be top for packed, whose images were listed before, but is leaf; fpt data pack --set "
            "dataset.classes=leaf does it",
        ),
        (
            {"source": "table", "path": "t.csv", "follow_links": True},
            "follow_links must be false for table, which names",
        ),
        ({"source": "places", "path": "p", "classes": "leaf"}, "classes must be top for places"),
        (
            {"source": "folder", "path": "p", "merge_splits": True, "all_novel": True},
            "merge_splits must be false where",
        ),
        ({"source": "folder", "path": "p", "leaks": "keep"}, "'refuse' or 'leave_out'"),
    ],
)
def test_how_a_source_is_not_read_is_refused(dataset, message):
    with pytest.raises(ValidationError, match=message):
        made(dataset=dataset)
    made(dataset={"source": "packed", "path": "a.arrow", "leaks": "leave_out"})  # as folder.yaml has it


def test_what_is_held_out_is_described_where_it_is_pictures_alone():
    """So sweeps and MLflow's parameters of before are those of now."""
    own = {"source": "folder", "path": "photos"}
    assert "hold_out" not in made(dataset=own).model_dump()["dataset"]
    pictures = made(dataset={**own, "hold_out": "pictures"})
    assert pictures.model_dump(mode="json", by_alias=True)["dataset"]["hold_out"] == "pictures"
    assert plain_run(pictures) == pictures


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"hold_out": "pictures"}, "hold_out must be classes for glyphs, of which there are hundreds, but got 'pict"),
        (
            {"source": "folder", "path": "photos", "hold_out": "pictures", "all_novel": True},
            "all_novel must be false where hold_out is pictures, as all splits get some, but is true",
        ),
        ({"source": "folder", "path": "photos", "hold_out": "images"}, "'classes' or 'pictures'"),
    ],
)
def test_pictures_that_cannot_be_held_out_are_refused(dataset, message):
    with pytest.raises(ValidationError, match=message):
        made(dataset=dataset)


def test_how_pixels_are_normalised_is_described_where_it_is_told_alone():
    """So sweeps and MLflow's parameters of before are those of now."""
    assert {"mean", "std"}.isdisjoint(made().model_dump()["backbone"])
    told = made(backbone={"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]})
    assert told.model_dump(mode="json")["backbone"]["mean"] == [0.485, 0.456, 0.406]
    assert plain_run(told) == told
    with pytest.raises(ValidationError, match="std must be given where mean is, but is missing"):
        made(backbone={"mean": [0.5, 0.5, 0.5]})
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        made(backbone={"mean": [123, 116, 103], "std": [58, 57, 57]})


def test_a_name_of_the_hub_is_timm_s():
    assert made(backbone={"name": "hf-hub:timm/vit_small_patch16_224.dino"}) == made(
        backbone={"name": "vit_small_patch16_224.dino"}
    )


def test_paths_are_those_of_a_shell(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    run = made(dataset={"source": "folder", "path": "~/photos #2"}, backbone={"weights": "${DATA}/w.pth"})
    assert (run.dataset.path, run.backbone.weights) == ("/home/me/photos #2", "/data/w.pth")
    assert made(backbone={"weights": False}).backbone.weights is False
    monkeypatch.delenv("DATA")
    with pytest.raises(ValidationError, match="must name environment variables that are set, but DATA in"):
        made(backbone={"weights": "$DATA/w.pth"})
