"""What the embedded backbone is pre-trained on, and by which loss."""

import numpy as np
import torch

from fpt.glyphs.characters import characters
from fpt.glyphs.pretrain import GLYPHS, BaseScenes, SceneClassifier, StemClassifier, _all_names, _own_name
from fpt.glyphs.scenes import LARGE


def batch_of(size, seed):
    return next(iter(BaseScenes(size, seed, LARGE)))


def test_scenes_are_a_function_of_their_seed_and_patches_name_a_glyph_of_their_scene():
    images, names, patch_labels = batch_of(6, 3)
    assert (images.dtype, tuple(images.shape), tuple(names.shape), tuple(patch_labels.shape)) == (
        torch.uint8,
        (6, 64, 64, 3),
        (6, GLYPHS),
        (6, 64),
    )
    again, other = batch_of(6, 3), batch_of(6, 4)
    assert all(map(torch.equal, (images, names, patch_labels), again))
    assert not torch.equal(images, other[0])
    assert 0 <= int(names.min()) <= int(names.max()) < len(characters("base"))
    for own, of_patches in zip(names, patch_labels, strict=True):
        assert set(of_patches.tolist()) <= {-1, *own.tolist()}
    assert 0.1 < float((patch_labels >= 0).float().mean()) < 0.9


def test_all_names_is_the_mean_cross_entropy_of_a_scene_s_glyphs_and_own_name_is_smoothed():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    log_shares = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))
    names = torch.tensor([[0, 1], [2, 2]])
    expected = -np.mean([log_shares[0, 0], log_shares[0, 1], log_shares[1, 2], log_shares[1, 2]])
    np.testing.assert_allclose(float(_all_names(logits, names)), expected, rtol=1e-6)
    smoothed = 0.95 * np.array([log_shares[0, 2], log_shares[1, 1]]) + 0.05 * log_shares.mean(1)
    np.testing.assert_allclose(float(_own_name(logits, torch.tensor([2, 1]))), -smoothed.mean(), rtol=1e-6)


def test_each_stage_has_a_loss_that_reaches_its_weights():
    images, names, patch_labels = batch_of(2, 0)
    inputs = images.permute(0, 3, 1, 2).float() / 255 - 0.5
    classes = len(characters("base"))
    torch.manual_seed(0)
    for model in (StemClassifier(classes), SceneClassifier(classes), SceneClassifier(classes, background=True)):
        loss, right = model.train()(inputs, names, patch_labels)
        loss.backward()
        assert loss.isfinite()
        assert 0 <= float(right) <= 1
        stem = model.stem if isinstance(model, StemClassifier) else model.vit.patch_embed
        assert all(float(weight.grad.abs().max()) > 0 for weight in stem.parameters() if weight.ndim > 1)
