"""How images come to a GPU, a pretend one."""

import pytest
import torch

from fpt.backbones.images import uploaded
from fpt.problems.frozen import freeze_episodes
from fpt.switches import turned
from tests.fpt.test_on_gpu import backbone_of
from tests.pretend_cuda import CUDA, on_cpu, pretend_cuda

IMAGES = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 3, 4)


def test_images_travel_in_a_stream_of_their_own_and_what_computes_waits_for_them():
    with pretend_cuda() as device:
        device.forget()
        there = uploaded(IMAGES, CUDA)
        assert torch.equal(on_cpu(there), IMAGES)
        assert device.streams == [
            "in one of its own",
            "that of the computing waits for one of its own",
            "kept for that of the computing",
        ]
        assert not device.copies
        assert uploaded(there, CUDA) is there


def test_nobody_waits_for_the_images_of_a_frozen_pass():
    images = torch.randint(256, (1, 3, 64, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with pretend_cuda() as device:
        backbone = backbone_of("glyphs", "cuda", torch.float32)
        device.forget()
        early = freeze_episodes(backbone, images, 1)
        assert not device.copies
        with turned(["early copies"]):
            late = freeze_episodes(backbone, images, 1)
        assert sum(device.copies.values()) == 1
        assert torch.equal(on_cpu(early.tokens), on_cpu(late.tokens))


def test_where_no_memory_can_be_pinned_images_travel_as_they_are(monkeypatch):
    monkeypatch.setattr("tests.pretend_cuda.pinned_copy", lambda images: (_ for _ in ()).throw(RuntimeError("no")))
    with pretend_cuda() as device:
        device.forget()
        assert torch.equal(on_cpu(uploaded(IMAGES, CUDA)), IMAGES)
        assert (sum(device.copies.values()), device.streams) == (1, [])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_elsewhere_they_just_go_there(device):
    there = uploaded(IMAGES, torch.device(device))
    assert (there.device.type, there.shape) == (device, IMAGES.shape)
