import torch

from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.backbones.loading import load_backbone
from fpt.backbones.weights import Matched


def test_the_fingerprint_of_a_backbone_is_that_of_its_weights():
    one, same = (load_backbone("vit_micro_glyphs", device="cpu") for _ in range(2))
    assert backbone_fingerprint(one) == backbone_fingerprint(same)
    same.weights = Matched((), (), (), (), epsilon=1e-12)
    assert backbone_fingerprint(one) != backbone_fingerprint(same)
    same.weights = None
    with torch.no_grad():
        same.blocks[3].mlp.fc1.bias[5] += 1e-3
    assert backbone_fingerprint(one) != backbone_fingerprint(same)
