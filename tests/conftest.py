"""Checks the shapes in signatures, and gives small random backbones that every test may share."""

import gc
import signal
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import timm
import torch
from jaxtyping import install_import_hook

install_import_hook(["fpt", "pipeline"], "beartype.beartype")  # before either is imported

from fpt.backbones.backbone import Backbone  # noqa: E402
from fpt.backbones.loading import load_backbone  # noqa: E402
from fpt.glyphs.scenes import scene  # noqa: E402
from fpt.problems.frozen import freeze  # noqa: E402
from fpt.problems.problem import EpisodeBatch  # noqa: E402
from fpt.prompts.localisation import key_patches  # noqa: E402

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in the background ignore it

# timm's models, made small: 2 x 2 patches; the names say what is particular about each.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}),
    "normed queries and keys": ("vit_tiny_patch16_224", {"img_size": 32, "qk_norm": True}),
    "layer scale, registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 28}),
    "norm before the blocks": ("vit_base_patch16_clip_224", {"img_size": 32}),
    "rotary": ("vit_small_patch16_rope_224", {"img_size": 32}),
    "rotary by layer": ("vit_small_patch16_rope_mixed_224", {"img_size": 32}),
    "rotary, registers": ("vit_small_patch16_dinov3", {"img_size": 32, "global_pool": "token"}),
    "position bias": ("vit_relpos_base_patch16_cls_224", {"img_size": 32}),
    "bias beside its projection": ("eva_giant_patch14_clip_224", {"img_size": 28}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"img_size": 32}),
    "class token late": ("cait_xxs24_224", {"img_size": 32}),
}
NARROW = {"depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 0}


# Files whose tests take longest: begun first, so that no process ends long after the others.
LONGEST = ("tests/sweeps/test_sweep.py", "tests/pipeline/test_session.py", "tests/fpt/solvers/test_solvers.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """What is there before the first test, all libraries and tests among it, need not be looked through again for what
    nobody holds any more: that takes half a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that would call it a leak


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a user has set leads tests to other results, or puts theirs among the user's."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("FPT_HOME", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            patched.delenv(name, raising=False)
        patched.setenv("FPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """The embedded architecture with random weights: what is tested must not hang on how well it was trained."""
    return load_backbone("vit_micro_glyphs")


@pytest.fixture(scope="session")
def small_model() -> Callable[[str], Any]:
    """A model of SMALL by its name, its weights large enough for attention that is far from uniform."""

    @cache
    def model(kind: str) -> Any:
        name, options = SMALL[kind]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            built = timm.create_model(name, **{**NARROW, **options}).eval().requires_grad_(False)
            for weight in built.parameters():
                weight.mul_(4) if weight.ndim > 1 else weight.add_(torch.randn_like(weight) / 10)
        return built

    return model


@pytest.fixture(scope="session")
def episodes(backbone: Backbone) -> EpisodeBatch:
    """Four 3-way episodes of 2 support and 4 query scenes a class, for solvers that adapt the last two blocks."""
    drawn = [[scene("novel", 7 * episode + way, i) for way in range(3) for i in range(6)] for episode in range(4)]
    images = torch.from_numpy(np.stack([[one.image for one in row] for row in drawn]))
    keys = key_patches(torch.from_numpy(np.stack([[one.mask for one in row] for row in drawn])), backbone.grid)
    flat = freeze(backbone, images.flatten(0, 1), blocks=2)
    frozen = flat.change(lambda part: part.unflatten(0, (4, 18)))
    support = torch.arange(18) % 6 < 2
    labels = torch.arange(3).repeat_interleave(6).expand(4, 18)
    return EpisodeBatch(
        indices=[10, 11, 12, 2**33],
        support_images=images[:, support],
        support=frozen.change(lambda part: part[:, support]),
        labels=labels[:, support],
        query=frozen.change(lambda part: part[:, ~support]),
        query_labels=labels[:, ~support],
        support_key=keys[:, support],
        query_key=keys[:, ~support],
    )
