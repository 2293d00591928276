"""What the shapes of backbones allow, by hand and by what timm says of them."""

import pytest
import timm
import torch

from fpt.pictures.resizing import Crop
from pipeline.config import Run
from pipeline.limits import Limits, backbone_limits, check_weights, limits_of


def of(**backbone):
    return limits_of(Run.model_validate({"backbone": backbone}))


def test_those_of_the_embedded_backbone_by_hand():
    """64 pixels in patches of 8; scenes are seen whole."""
    assert of() == Limits(patches=64, depth=6, has_class_token=True, image_size=64, seen=Crop(1.0, "bicubic"))


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit4"])
def test_those_of_a_backbone_are_what_timm_says_of_it(name):
    model = timm.create_model(name)
    (side, _), config = model.patch_embed.img_size, model.pretrained_cfg
    assert of(name=name) == Limits(
        patches=model.patch_embed.num_patches,
        depth=len(model.blocks),
        has_class_token=model.num_prefix_tokens > 0,
        image_size=side,
        seen=Crop(config["crop_pct"], config["interpolation"]),
    )


def test_an_image_size_of_ones_own_makes_other_patches():
    assert of(name="test_vit2", image_size=32)[:4] == (4, of(name="test_vit2").depth, True, 32)


def test_a_backbone_is_made_once_and_no_weights_are_downloaded(monkeypatch):
    """Whether they are timm's pre-trained ones or random ones changes no shape."""
    made = []
    create = timm.create_model

    def counted(name, **options):
        assert not options["pretrained"]
        made.append(name)
        return create(name, **options)

    backbone_limits.cache_clear()
    monkeypatch.setattr(timm, "create_model", counted)
    first = of(name="test_vit2", weights=True)
    assert of(name="test_vit2", weights=False) is first
    assert backbone_limits("test_vit2", None, None) is first
    assert made == ["test_vit2"]


def test_a_local_file_is_read_as_it_may_not_fit(tmp_path):
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    torch.save(state, tmp_path / "whole.pth")
    name = "test_vit.r160_in1k"
    assert of(name=name, weights=str(tmp_path / "whole.pth")) == of(name=name)
    del state["cls_token"]
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(ValueError, match=r"half\.pth must hold the weights of test_vit: .*, 1 missing \(cls_token\)"):
        of(name=name, weights=str(tmp_path / "half.pth"))


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"name": "vit_of_nowhere"}, r"backbone\.name must be a timm model .* but got 'vit_of_nowhere'"),
        ({"name": "test_resnet"}, "backbone must have layers of softmax attention but ResNet has none"),
        (
            {"name": "test_resnet", "image_size": 32},
            r"backbone\.image_size must be left out for test_resnet but got 32",
        ),
        (
            {"weights": "nowhere.pth"},
            r"backbone\.weights must be an existing file but got nowhere\.pth; .*vit_micro_gl",
        ),
    ],
)
def test_a_backbone_that_cannot_work_is_named(backbone, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        of(**backbone)


def test_weights_that_cannot_be_had_are_known_beforehand_with_other_ways_on(monkeypatch):
    def away(name, **options):
        assert options["pretrained"]
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", away)
    monkeypatch.setattr("pipeline.limits.check_reachable", lambda name: None)
    run = Run.model_validate({"backbone": {"name": "vit_small_patch16_224.dino"}})
    said = r"^backbone\.weights must be a local file .* no route to host; a local file .* vit_micro_glyphs"
    with pytest.raises(ValueError, match=said):
        check_weights(run)
    check_weights(Run.model_validate({"backbone": {"name": "vit_small_patch16_224", "weights": False}}))


def test_weights_that_timm_does_not_have_are_said_to_be_none():
    name = next(name for name in timm.list_models("vit_*") if not timm.list_models(f"{name}.*", pretrained=True))
    run = Run.model_validate({"backbone": {"name": name}})
    with pytest.raises(
        ValueError, match=rf"^backbone\.weights must be false \(random\) or a local file for {name}, .*glyphs"
    ):
        check_weights(run)
