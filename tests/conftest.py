"""Checks the shapes in signatures, and gives a small random backbone that every test may share."""

from collections.abc import Iterator

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook(["fpt", "pipeline"], "beartype.beartype")  # before either is imported

from fpt.backbones import Backbone, load_backbone  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """The embedded architecture with random weights: what is tested must not hang on how well it was trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return load_backbone("vit_micro_glyphs", pretrained=False, device="cpu")


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    """Randomness is an argument: nothing may draw from torch's global generator or seed it."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state())
