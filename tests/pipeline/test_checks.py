import pytest

from pipeline.checks import check_run
from pipeline.config import Run

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
        {"backbone": SWIN, "solver": {"name": "full", "blocks": 12, "embeddings": True}},
        {"backbone": SWIN, "prompts": {"rows": "all", "patches": 49}},
        {"backbone": SWIN, "prompts": {"rows": "class", "patches": 50, "alpha": 0}},
    ],
    ids=repr,
)
def test_what_can_be_served_passes(sections):
    check_run(made(**sections))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"episodes": {"split": "base"}}, "episodes.split must be one of validation, novel but got 'base'"),
        (
            {"episodes": {"split": "validation", "way": 198}},
            "episodes.way must be at most 197, the classes of split validation, but got 198",
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
            "weights must be an existing file but got /nowhere/weights.pth",
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
