import pytest
from pydantic import ValidationError

from pipeline.backbones import BackboneName, backbone_named

OWN = BackboneName(name="vit_micro_glyphs", weights="/w/own.safetensors", image_size=64, precision="float32")
LABELS = {
    "mine": {"weights": "/w/mine.safetensors"},
    "small": {"name": "timm/vit_tiny_patch16_224", "image_size": 64},
    "coarse": {"precision": "bfloat16"},
    "wrong": {"size": 64},
}


def test_a_label_says_in_what_it_differs():
    assert backbone_named("mine", OWN, LABELS) == OWN.model_copy(update={"weights": "/w/mine.safetensors"})
    assert backbone_named("coarse", OWN, LABELS) == OWN.model_copy(update={"precision": "bfloat16"})


def test_another_model_takes_the_precision_alone():
    small = backbone_named("small", OWN, LABELS)
    assert small == BackboneName(name="vit_tiny_patch16_224", image_size=64, precision="float32")
    assert backbone_named("vit_base_patch16_224", OWN, {}) == BackboneName(
        name="vit_base_patch16_224", precision="float32"
    )


def test_the_own_one_goes_by_its_name():
    assert backbone_named("vit_micro_glyphs", OWN, LABELS) == OWN


def test_a_field_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="size"):
        backbone_named("wrong", OWN, LABELS)


def test_mean_and_deviation_go_together():
    with pytest.raises(ValidationError, match="std must be given where mean is"):
        BackboneName(mean=(0.5, 0.5, 0.5))
