import json

import pytest

from pipeline.checks import check_packed, check_run
from pipeline.config import Run
from pipeline.data import listed
from pipeline.data.store import ImageStore
from tests.pipeline.data.sources.trees import grow

SWIN = {"name": "swin_tiny_patch4_window7_224"}


def made(**sections):
    return Run.model_validate(sections)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"episodes": {"split": "validation", "way": 197}},
        {"episodes": {"way": 262, "shot": 20, "query": 10}},
        {"prompts": {"patches": 64}},
        {"solver": {"blocks": 6}, "prompts": {"layers": 6}},
        {"solver": {"name": "ssf", "blocks": 6, "embeddings": True}},
        {"backbone": {"name": "vit_tiny_patch16_224", "image_size": 64}},
    ],
    ids=repr,
)
def test_what_can_be_served_passes(sections):
    check_run(made(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"solver": {"name": "full", "blocks": 12, "embeddings": True}},
        {"prompts": {"rows": "all", "patches": 49}},
        {"prompts": {"rows": "class", "patches": 50, "alpha": 0}},
    ],
    ids=repr,
)
def test_photos_are_packed_in_the_size_that_a_backbone_takes(sections, tmp_path):
    files = {f"novel/novel{i}/{j}.jpg": "" for i in range(3) for j in range(6)}
    run = of_folder(grow(tmp_path / "photos", files), way=3)
    check_run(made(**{**run.model_dump(by_alias=True), "backbone": SWIN, **sections}))


def test_scenes_are_of_one_size():
    said = (
        r"^backbone\.image_size must be 64, the side of scenes, but vit_tiny_patch16_224 takes 224; many models can be"
    )
    with pytest.raises(ValueError, match=said):
        check_run(made(backbone={"name": "vit_tiny_patch16_224"}))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"episodes": {"split": "base"}}, "episodes.split must be one of validation, novel but got 'base'"),
        (
            {"episodes": {"split": "validation", "way": 198}},
            "episodes.way must be at most 197, the classes of split validation, but got 198",
        ),
        (
            {"episodes": {"way": 140, "part": "other classes"}},
            r"episodes.way must be at most 131, the classes of split novel \(other classes\), but got 140",
        ),
        (
            {"dataset": {"images_per_class": 9}, "episodes": {"shot": 1, "query": 4, "part": "other pictures"}},
            r"episodes.shot \+ episodes.query must be at most 4, which is dataset.images_per_class, but got 1 \+ 4",
        ),
        ({"episodes": {"way": 263}}, "episodes.way must be at most 262, the classes of split novel, but got 263"),
        (
            {"dataset": {"images_per_class": 8}, "episodes": {"shot": 5, "query": 4}},
            r"episodes.shot \+ episodes.query must be at most 8, which is dataset.images_per_class, but got 5 \+ 4",
        ),
        (
            {"prompts": {"patches": 65}},
            "prompts.patches must be at most 64, the patches of vit_micro_glyphs, but got 65",
        ),
        ({"solver": {"blocks": 7}}, "solver.blocks must be at most 6, the blocks of vit_micro_glyphs, but got 7"),
        ({"backbone": {"name": "vit_of_nowhere"}}, "backbone.name must be a timm model .* but got 'vit_of_nowhere'"),
        (
            {"backbone": {"name": "resnet18"}},
            "backbone must have layers of softmax attention but ResNet has none that can be watched",
        ),
        (
            {"backbone": {"name": "test_vit2", "image_size": 32}, "prompts": {"patches": 5}},
            "prompts.patches must be at most 4, the patches of test_vit2, but got 5",
        ),
        (
            {"backbone": {"name": "vit_micro_glyphs", "weights": "/nowhere/weights.pth"}},
            "backbone.weights must be an existing file but got /nowhere/weights.pth; .*vit_micro_glyphs, needs no.*",
        ),
        (
            {"backbone": SWIN, "prompts": {"rows": "class"}},
            "prompts.rows must be patches or all, as swin_tiny_patch4_window7_224 has no .CLS., but got 'class'",
        ),
        (
            {"solver": {"name": "full", "blocks": 5, "embeddings": True}},
            "solver.blocks must be 6, all blocks of vit_micro_glyphs, where solver.embeddings is true, but got 5",
        ),
        (
            {"backbone": SWIN, "prompts": {"patches": 50}},
            "prompts.patches must be at most 49, the patches of swin_tiny_patch4_window7_224, but got 50",
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_served_is_named(sections, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_run(made(**sections))


def test_the_field_that_names_the_split_may_be_another():
    with pytest.raises(ValueError, match=r"search\.split must be one of"):
        check_run(made(episodes={"split": "base"}), "search.split")


def test_a_sweep_may_search_on_base_where_there_is_no_validation(tmp_path):
    """train/ and test/ alone; what it says is typed."""
    files = {f"{split}/{split}{i}/{j}.jpg": "" for split in ("train", "test") for i in range(3) for j in range(6)}
    root = grow(tmp_path / "photos", files)
    for way, also in ((3, ""), (5, " --set episodes.way=3")):
        run = of_folder(root, way=way)
        run = run.model_copy(update={"episodes": run.episodes.model_copy(update={"split": "validation"})})
        said = f"^search.split must be one of base, novel but got 'validation'; --set search.split=base{also} will do$"
        with pytest.raises(ValueError, match=said):
            check_run(run, "search.split")


def of_folder(root, query=3, way=3, **dataset):
    listed._listed.cache_clear()
    return made(
        dataset={"source": "folder", "path": str(root), **dataset},
        episodes={"way": way, "shot": 1, "query": query},
        prompts={"alpha": 0},
    )


@pytest.fixture
def photos(tmp_path):
    """Four classes of 8 pictures, and a fifth of 7."""
    return grow(tmp_path / "photos", {f"{name}/{i}.jpg": "" for name in "abcde" for i in range(7 + (name != "c"))})


def refused(run):
    with pytest.raises(ValueError, match="must be") as told:
        check_run(run)
    return str(told.value)


def test_too_few_classes_in_a_split_may_be_enough_where_pictures_are_held_out(photos):
    said = (
        "episodes.way must be at most 3, the classes of split novel (2 of all 5 classes are set aside for validation)"
    )
    held_out = "--set dataset.hold_out=pictures"
    assert refused(of_folder(photos, way=4)) == (
        f"{said}, but got 4; {held_out} --set dataset.small_classes=leave_out, or --set episodes.way=2 will do"
    )
    assert refused(of_folder(photos, way=4, query=4)) == (  # no class has five in each part
        f"{said}, but got 4; --set episodes.way=2, or {held_out} --set episodes.query=2 will do"
    )
    check_run(of_folder(photos, way=4, hold_out="pictures", small_classes="leave_out"))
    check_run(of_folder(photos, way=2))
    check_run(of_folder(photos, way=4, query=2, hold_out="pictures"))


def test_a_class_with_too_few_pictures_in_a_part_is_named_with_all_parts(photos):
    check_run(of_folder(photos, query=2, hold_out="pictures"))
    assert refused(of_folder(photos, hold_out="pictures")) == (
        "episodes.shot + episodes.query must be at most 3, as class 'c' has 3 pictures in novel and 4 pictures in "
        "validation and episodes of each split need that many, but got 1 + 3; --set "
        "dataset.small_classes=leave_out, or --set episodes.query=2 will do"
    )
    assert refused(of_folder(photos, way=5, hold_out="pictures", small_classes="leave_out")) == (
        "episodes.query must be at most 2 beside 1 for support, as 5 classes of split novel have 3 images and more "
        "in each split, but got 3; --set episodes.query=2, or --set episodes.way=4 will do"
    )
    both = "--set episodes.way=5 --set episodes.query=2 will do"
    for small_classes, way_on in (("refuse", both), ("leave_out", "--set episodes.way=4 will do")):
        said = refused(of_folder(photos, way=6, hold_out="pictures", small_classes=small_classes))
        assert said.startswith("episodes.way must be at most 5, the classes of split novel, but got 6; --set ")
        assert said.endswith(way_on)
    check_run(of_folder(photos, way=5, query=2, hold_out="pictures"))
    check_run(of_folder(photos, way=4, hold_out="pictures", small_classes="leave_out"))


def test_a_packed_file_holds_out_what_it_was_packed_with(tmp_path):
    def packed(splits, **dataset):
        grow(tmp_path, {"a.arrow": "", "a.arrow.json": json.dumps({"fingerprint": "0123", "splits": splits})})
        return of_folder(tmp_path / "a.arrow", source="packed", **dataset)

    pictures = {split: dict.fromkeys("abc", 4) for split in ("validation", "novel")}
    classes = {"validation": dict.fromkeys("abc", 4), "novel": {**dict.fromkeys("def", 4), "a": 0}}
    check_run(packed(pictures, hold_out="pictures"))
    check_run(packed(classes))
    said = refused(packed(pictures))
    assert said.startswith("dataset.hold_out must be pictures for ")
    assert said.endswith(", each split of which holds other pictures of the same classes, but got 'classes'")
    said = refused(packed(classes, hold_out="pictures"))
    assert said.startswith("dataset.hold_out must be classes for ")
    assert said.endswith(" holds other classes, but got 'pictures'; fpt data pack --hold-out pictures makes another")
    lacking = {**pictures, "novel": {"a": 4, "b": 4, "c": 0}}
    assert "as class 'c' has 0 pictures in novel and 4 pictures in val" in refused(packed(lacking, hold_out="pictures"))


def test_what_was_really_packed_is_checked_once_more(store: ImageStore):
    """The store of noise has six classes of eight images in each of two splits."""
    own = {"source": "folder", "path": "photos"}
    check_packed(made(dataset=own, episodes={"way": 6, "shot": 1, "query": 7}), store)
    told = rf"\(as packed: what was left out, and why, {store.path}\.json tells\)$"
    with pytest.raises(
        ValueError, match=rf"^episodes\.way must be at most 6, the classes of split novel.* got 7.*{told}"
    ):
        check_packed(made(dataset=own, episodes={"way": 7, "query": 1}), store)
    with pytest.raises(ValueError, match=rf"^search\.split must be one of novel, validation but got 'base'.*{told}"):
        check_packed(made(dataset=own, episodes={"split": "base"}), store, "search.split")
