"""Images on their way into a backbone: to its device, and normalised."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fpt.switches import is_on

Images = UInt8[Tensor, "batch height width 3"] | Float[Tensor, "batch 3 height width"]


def normalised(
    images: Images, mean: Float[Tensor, "3"], std: Float[Tensor, "3"], device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "batch 3 height width"]:
    """Returns images on a device as a backbone was trained to see them, worked out in the type of mean and standard
    deviation, which are of values between 0 and 1. Floating-point images are taken as normalised already.
    """
    there = uploaded(images, device)
    if there.is_floating_point():
        return there.to(dtype)
    rows = there.to(mean.dtype).flatten(2)  # a row's colours side by side make long loops
    own_mean, own_std = (each.repeat(there.shape[2]) for each in (mean, std))
    pixels: Tensor = rows.div_(255).sub_(own_mean).div_(own_std).unflatten(2, (-1, 3))
    return pixels.to(dtype).permute(0, 3, 1, 2)


def uploaded(images: Tensor, device: torch.device) -> Tensor:
    """Returns images, of any shape, on the device.

    A GPU takes them from pinned memory in a stream of their own: neither does the processor wait until the GPU has done
    what it was given before, nor the GPU while they travel. What is computed next comes after them.
    """
    if device.type != "cuda" or images.is_cuda or not is_on("early copies"):
        return images.to(device)
    try:
        pinned = images.pin_memory()
    except RuntimeError:  # not every machine lets so much be pinned
        return images.to(device)
    travelling, computing = stream_of_copies(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(travelling):
        moved = pinned.to(device, non_blocking=True)
    computing.wait_stream(travelling)
    moved.record_stream(computing)  # its memory is not given away before what computes has read it
    return moved


@cache
def stream_of_copies(device: torch.device) -> Any:
    """Returns the stream in which images travel, always the same: each stream has memory of its own."""
    return torch.cuda.Stream(device)
