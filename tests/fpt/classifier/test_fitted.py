from dataclasses import replace

import numpy as np
import torch

from fpt.backbones.loading import load_backbone
from fpt.classifier.fitted import Fitted, digest_of_support
from fpt.classifier.transform import Transform
from fpt.pictures.resizing import Crop
from fpt.problems.learning import answer, learn
from fpt.problems.problem import Setting
from fpt.solvers import Training
from tests.fpt.classifier.checks import CALIBRATION


def test_logits_of_members_are_the_logarithm_of_their_mean_probability():
    backbone = load_backbone("test_vit", image_size=32)
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 2
    settings = [Setting(name, Training(way=2)) for name in ("protonet", "knn")]
    learnt = [learn(backbone, images, labels, one) for one in settings]
    held = Fitted(backbone, "float32", Transform(32, Crop()), settings, learnt, [3, 3], "digest", CALIBRATION)
    of_each = [
        answer(backbone, images, setting, own).scores[0].double().softmax(-1)
        for setting, own in zip(settings, learnt, strict=True)
    ]
    mean = torch.stack(of_each).mean(0)
    torch.testing.assert_close(replace(held, calibration=None).logits(images).exp(), mean)
    powers = mean ** (1 / CALIBRATION.temperature)
    torch.testing.assert_close(held.probabilities(images), powers / powers.sum(-1, keepdim=True))
    torch.testing.assert_close(held.attention(images).sum(-1), torch.ones(6))


def test_a_digest_is_that_of_pictures_and_labels():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    first = digest_of_support(images, np.array([0, 1]))
    assert first == digest_of_support(images.copy(), np.array([0, 1], np.int32))
    assert first != digest_of_support(images, np.array([1, 0]))
    assert first != digest_of_support(images + 1, np.array([0, 1]))
