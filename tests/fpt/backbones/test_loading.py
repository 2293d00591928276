"""Backbones by name."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from fpt.backbones.loading import best_device, load_backbone


def weights_of(backbone):
    return backbone.model.state_dict()


def test_random_weights_are_always_the_same_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = load_backbone("test_vit", image_size=32)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = load_backbone("test_vit", image_size=32)
    assert all(torch.equal(value, weights_of(other)[name]) for name, value in weights_of(one).items())
    assert one.weights is None


def test_a_file_s_weights_are_those_that_are_run(tmp_path):
    """In double precision, the file's in single: as many values as the model has, each the file's."""
    model = timm.create_model("test_vit", num_classes=0)
    values = {name: torch.full_like(value, i + 1) for i, (name, value) in enumerate(model.state_dict().items())}
    save_file(values, tmp_path / "weights.safetensors")
    loaded = load_backbone("test_vit.r160_in1k", weights=tmp_path / "weights.safetensors", dtype=torch.float64)
    assert set(loaded.weights.matched) == set(values)
    assert {name: float(value.flatten()[0]) for name, value in weights_of(loaded).items()} == {
        name: i + 1 for i, name in enumerate(values)
    }
    assert {value.dtype for value in weights_of(loaded).values()} == {torch.float64}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vit_huge", {}, r"backbone\.name must be a timm model \(like .*vit.*\) but got 'vit_huge'"),
        ("test_vit.no_such_tag", {}, r"backbone\.name must have a tag and a size that timm knows but got 'test_vit\."),
        ("test_resnet", {"image_size": 64}, r"backbone\.image_size must be left out for test_resnet but got 64"),
    ],
)
def test_what_cannot_be_loaded_is_said(name, options, said):
    with pytest.raises(ValueError, match=said):
        load_backbone(name, **options)


def test_a_download_that_fails_names_the_field(monkeypatch):
    def failing(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(timm, "create_model", failing)
    with pytest.raises(
        ValueError, match=r"^backbone\.weights must be a local file where test_vit's .*: no route; .*vit_micro_glyphs"
    ):
        load_backbone("test_vit", weights=True)


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(there, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert best_device() == device


def test_dinov3_is_pooled_by_its_class_token_as_its_authors_have_it():
    backbone = load_backbone("vit_small_patch16_dinov3", image_size=32)
    pixels = backbone.normalise(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))
    assert torch.equal(backbone.features(pixels), backbone.model.forward_features(pixels)[:, 0])
    assert (backbone.pooling, load_backbone("vit_micro_glyphs").pooling) == ("token", None)
