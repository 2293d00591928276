"""What the files beside a file of weights say."""

import json

import pytest
import torch
from safetensors.torch import save_file

from fpt.backbones.checkpoints.beside import EPSILON, HEADS, NOTHING_BESIDE, Beside, inside, said_beside
from fpt.backbones.checkpoints.layouts import CLIPS, IMAGENET, SIGLIPS


def dumped(pixels, mean, std):
    return dict(zip((mean, std), map(list, pixels), strict=True))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("preprocessor_config.json", dumped(IMAGENET, "image_mean", "image_std"), Beside(IMAGENET)),
        ("open_clip_config.json", {"preprocess_cfg": dumped(CLIPS, "mean", "std")}, Beside(CLIPS)),
        ("open_clip_config.json", {"model_cfg": {"quick_gelu": True}}, Beside(quickgelu=True)),
        ("open_clip_config.json", {"model_cfg": {"vision_cfg": {}}}, Beside(quickgelu=False)),
        ("config.json", {"pretrained_cfg": dumped(SIGLIPS, "mean", "std")}, Beside(SIGLIPS)),
        ("config.json", {"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}, Beside(quickgelu=False)),
        ("config.json", {"model_type": "clip", "vision_config": {}}, Beside(quickgelu=True)),
        ("config.json", {"model_type": "clip_vision_model", "hidden_act": "quick_gelu"}, Beside(quickgelu=True)),
        ("config.json", {"model_type": "vit", "hidden_act": "gelu"}, Beside()),
        ("config.json", {"model_type": "vit", "num_attention_heads": 12}, Beside(heads=12)),
        ("config.json", {"vision_config": {"num_attention_heads": 8}}, Beside(heads=8)),
        ("config.json", {"vision_config": {"layer_norm_eps": 1e-5}}, Beside(epsilon=1e-5)),
        ("config.json", {"layer_norm_eps": 1e-12, "num_attention_heads": 4}, Beside(heads=4, epsilon=1e-12)),
        *[("config.json", {"layer_norm_eps": wrong}, Beside()) for wrong in ("1e-6", -1e-6, 1, True, float("nan"))],
        ("config.json", {"num_attention_heads": "many", "vision_config": 3}, Beside()),
        *[("config.json", {"num_attention_heads": heads}, Beside()) for heads in ("12", 0, -3, True, 2.5)],
        ("config.json", [1, 2], Beside()),
        ("preprocessor_config.json", {"image_mean": 0.5, "image_std": [0.5]}, Beside()),
        ("preprocessor_config.json", {"image_mean": [0, 0, 0], "image_std": [0, 0, 0]}, Beside()),
    ],
)
def test_each_file_is_read(file, content, said, tmp_path):
    (tmp_path / file).write_text(json.dumps(content))
    assert said_beside(tmp_path / "model.safetensors") == said
    assert said_beside(tmp_path / "mine.pth") == NOTHING_BESIDE  # beside which the file may be of something else


def test_a_damaged_file_says_nothing(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff{")
    assert said_beside(tmp_path / "pytorch_model.bin") == NOTHING_BESIDE


@pytest.mark.parametrize(("tag", "quick"), [("laion2b", False), ("datacompxl", False), ("openai", None), ("", None)])
def test_a_tag_says_which_activation(tag, quick, tmp_path):
    assert said_beside(tmp_path / "a.pth", tag) == Beside(quickgelu=quick)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({HEADS: "12"}, Beside(heads=12)),
        ({EPSILON: "1e-12"}, Beside(epsilon=1e-12)),
        (inside(8, 1e-6), Beside(heads=8, epsilon=1e-6)),
        (inside(None, 0.0), Beside(epsilon=0.0)),
        (inside(None, None), Beside()),
        ({HEADS: "-3", EPSILON: "-1e-6"}, Beside()),
        ({HEADS: "x"}, Beside()),
        ({HEADS: "[12"}, Beside()),
    ],
)
def test_a_file_of_safetensors_may_say_heads_and_epsilon_itself(told, said, tmp_path):
    save_file({"weight": torch.ones(1)}, tmp_path / "backbone.safetensors", told)
    assert said_beside(tmp_path / "backbone.safetensors") == said
