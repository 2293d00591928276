"""A timm vision transformer, cut in two: what is frozen and computed once, and the blocks that a solver adapts."""

# B images, T tokens, N patches, L layers, D dimensions

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import RmsNorm
from torch import Tensor, nn

from fpt.backbones.attention import AttentionCall, class_attention, listen, wide
from fpt.backbones.checkpoints.pixels import Pixels
from fpt.backbones.class_row import class_row, is_plain
from fpt.backbones.images import Images, normalised
from fpt.backbones.scales import scales_of
from fpt.backbones.structure import Layer, attention_layers, per_image_modules, tokens_first
from fpt.backbones.weights import Matched
from fpt.failures import failure_of

MODULES: dict[str, tuple[type[nn.Module], ...]] = {"linear": (nn.Linear,), "norm": (nn.LayerNorm, RmsNorm)}
EMBEDDINGS = -1  # where images enter, to be made tokens of: below block 0
FINAL_NORMS = ("norm", "fc_norm")  # timm's names for what comes after the blocks


class _Reached(Exception):
    """Carries what a block was called with out of a forward pass that need not go on."""

    def __init__(self, tokens: Tensor, extra: dict[str, Any]) -> None:
        self.tokens, self.extra = tokens, extra


@dataclass(frozen=True)
class Passed:
    """Holds what came out of the upper blocks: features, and the attention calls that were asked for, top layer
    last.
    """

    features: Float[Tensor, "batch dim"]
    calls: list[AttentionCall]


class Backbone:
    """A frozen transformer whose attention layers were found by running it on noise.

    `layers` are all of them, lowest first; `stages` the indices of the layers of each scale (one scale: a columnar
    transformer, whose T tokens are `prefix` ones and `grid_patches`). Raises ValueError, saying why, for a model that
    cannot work. `image_size` in pixels is what the model says where it is left out, and so are `pixels`, mean and
    standard deviation of the colours it was trained on; `pixels` is None unless they differ from what it says.
    """

    def __init__(self, model: Any, image_size: int | None = None, pixels: Pixels | None = None) -> None:
        name = type(model).__name__
        for part in ("forward_features", "forward_head", "pretrained_cfg"):
            if not hasattr(model, part):
                raise ValueError(f"backbone must be a timm model with {part} but {name} has none")
        self.model: Any = model.eval().requires_grad_(False)
        first = next(model.parameters())
        self.device, self.dtype = first.device, first.dtype
        config = model.pretrained_cfg
        self.image_size: int = image_size or _image_size(model)
        own = (tuple(config["mean"]), tuple(config["std"]))
        self.pixels: Pixels | None = None if pixels is None or pixels == own else pixels
        colours = torch.promote_types(self.dtype, torch.float32)
        self._mean, self._std = (torch.tensor(part, device=self.device, dtype=colours) for part in self.pixels or own)
        self._noise = _unlike_images(self.image_size).to(first)
        try:
            self.layers: list[Layer] = attention_layers(model, self._noise)
        except (RuntimeError, AssertionError) as error:
            if failure_of(error):  # the device's, not the model's
                raise
            raise ValueError(
                f"backbone must take images of {self.image_size} x {self.image_size} pixels but {name} fails: {error}"
            ) from error
        self.blocks: list[nn.Module] = [layer.block for layer in self.layers]
        self.depth = len(self.layers)
        scales = scales_of(model, self.layers)
        self.stages, self.stage_prefixes, self.pyramid = scales.stages, scales.stage_prefixes, scales.pyramid
        self.prefix, self.grid, self.target_shapes = scales.prefix, scales.grid, scales.target_shapes
        self.grid_patches = self.grid[0] * self.grid[1]
        self.weights: Matched | None = None  # how a local file's met the model's
        self.pooling: str | None = None  # how features are pooled, where that is not as timm has it
        self._per_image: set[nn.Module] | None = None
        self._cuts: dict[int, str] = {}
        self._extras: dict[int, dict[str, Any]] = {}
        self._only_class_row = (
            is_plain(self.blocks[-1])
            and getattr(model, "global_pool", None) == "token"
            and not hasattr(model, "head_dist")
        )
        self.dim: int = self.features(self._noise).shape[1]
        self.cut(self.depth - 1)  # tried now, when nobody is listening

    @property
    def has_class_token(self) -> bool:
        return self.prefix > 0

    @property
    def most_patches(self) -> int:
        """Returns how many patches can be prompted at most: all of the image's, or of the smallest window of a
        pyramid.
        """
        return min(shape[-1] for shape in self.target_shapes)

    def patch_tokens(self, tokens: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch patches dim"]:
        """Returns the patches alone of what enters a block of a columnar transformer, whatever order its dimensions
        have.
        """
        return tokens_first(tokens)[:, self.prefix :]

    def modules_of_blocks(self, start: int, kinds: Sequence[str]) -> list[nn.Module]:
        """Returns linear layers ("linear") and norms ("norm") of blocks `start` and up, and of the norm above them.

        Those that do not act on each image are left out.
        """
        if self._per_image is None:
            self._per_image = per_image_modules(self.model, self._noise)
        types = tuple(kind for name in kinds for kind in MODULES[name])
        inside = dict.fromkeys(module for root in self._above(start) for module in root.modules())
        return [module for module in inside if isinstance(module, types) and module in self._per_image]

    def parameters_of_blocks(self, blocks: int) -> dict[str, nn.Parameter]:
        """Returns the weights of the last blocks and of the norm above them, by name."""
        own = {id(weight) for root in self._above(self.depth - blocks) for weight in root.parameters()}
        return {name: weight for name, weight in self.model.named_parameters() if id(weight) in own}

    def _above(self, start: int) -> list[nn.Module]:
        """Returns blocks `start` and up, and the norms beside the blocks that the model ends with."""
        ends = [getattr(self.model, name, None) for name in FINAL_NORMS]
        ends.append(getattr(getattr(self.model, "head", None), "norm", None))
        return self.blocks[start:] + [end for end in ends if isinstance(end, nn.Module)]

    def normalise(self, images: Images) -> Float[Tensor, "batch 3 height width"]:
        """Returns images as the backbone was trained to see them. Floating-point ones are taken as normalised
        already.
        """
        return normalised(images, self._mean, self._std, self.device, self.dtype)

    def lower(self, images: Images, start: int) -> Float[Tensor, "batch ..."]:
        """Returns what enters block `start` (0-based); for a model that cannot be cut there, its input. Below block 0,
        at EMBEDDINGS, that is what the model itself takes: normalised images.
        """
        inputs = self.normalise(images)
        return inputs if start == EMBEDDINGS or self.cut(start) == "nowhere" else self._reach(inputs, start).tokens

    def upper(
        self, tokens: Float[Tensor, "batch ..."], start: int, watched: int = 0, class_row_only: bool = False
    ) -> Passed:
        """Goes on from what `lower` gave, watching the attention of the last `watched` layers.

        With `class_row_only` the caller promises to read only [CLS] rows of the top layer's attention.
        """
        cut = self.cut(max(start, 0))
        if cut == "between blocks" and start == EMBEDDINGS:
            first = self._reach(tokens, 0)
            return self._run_blocks(first.tokens, 0, first.extra, watched, class_row_only)
        if cut == "between blocks":
            return self._run_blocks(tokens, start, self._extra(start), watched, class_row_only)
        if start == EMBEDDINGS:
            cut = "nowhere"
        with ExitStack() as stack:
            if cut == "in passing":
                stack.enter_context(_entered_at(self.blocks, start, tokens))
            calls = stack.enter_context(listen(self.depth - start if cut == "in passing" else self.depth))
            inputs = self._noise[:1] if cut == "in passing" else tokens
            features = self.features(inputs)
        return Passed(features, calls[len(calls) - watched :])

    def cut(self, start: int) -> str:
        """Returns how the model can be cut before block `start`, which is tried on noise.

        "between blocks": they are called one by one. "in passing": the model runs on one image of noise, whose tokens
        are exchanged as they enter the block. "nowhere": all of it runs, as something beside the blocks matters too.
        """
        if start not in self._cuts:
            self._cuts[start] = next(way for way in ("between blocks", "in passing", "nowhere") if self._is(way, start))
        return self._cuts[start]

    @torch.no_grad()
    def _is(self, way: str, start: int) -> bool:
        if way == "nowhere":
            return True
        self._cuts[start] = way
        try:
            tokens = self._reach(self._noise, start).tokens
            cut = self.upper(tokens.flip(0), start).features
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            if failure_of(error):
                raise
            return False
        finally:
            del self._cuts[start]
        whole = self.features(self._noise).flip(0)
        rounding = torch.finfo(self.dtype).eps
        tolerance = max(1e-3, 16 * rounding) * float((whole[0] - whole[1]).abs().max())
        tolerance += max(1e-5, rounding) * float(whole.abs().max())
        return cut.shape == whole.shape and float((cut - whole).abs().max()) < tolerance

    def features(self, inputs: Float[Tensor, "_ 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Returns features of normalised images, by the whole model, in float32 at least."""
        return wide(self.model.forward_head(self.model.forward_features(inputs), pre_logits=True))

    def entering(self, block: int) -> Float[Tensor, "1 ..."]:
        """Returns what enters a block for an image of noise."""
        return self._reach(self._noise[:1], block).tokens

    def into_attention(self, block: int, tokens: Float[Tensor, "batch ..."]) -> Tensor:
        """Returns what enters a block's attention when `tokens` enter the block."""
        seen: list[Tensor] = []

        def stop(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen.append(arguments[0])
            raise _Reached(arguments[0], {})

        handle = self.layers[block].attention.register_forward_pre_hook(stop)
        try:
            with _entered_at(self.blocks, block, tokens):
                self.model.forward_features(self._noise[:1])
        except _Reached:
            pass
        finally:
            handle.remove()
        return seen[0]

    def _reach(self, inputs: Tensor, start: int) -> _Reached:
        def stop(_: nn.Module, arguments: tuple[Tensor], extra: dict[str, Any]) -> None:
            raise _Reached(arguments[0], extra)

        handle = self.blocks[start].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model.forward_features(inputs)
        except _Reached as reached:
            return reached
        finally:
            handle.remove()
        raise AssertionError("the blocks were found by running the model")

    def _extra(self, start: int) -> dict[str, Any]:
        """Returns what a block is called with beside tokens, which does not depend on images."""
        if start not in self._extras:
            self._extras[start] = self._reach(self._noise[:1], start).extra
        return self._extras[start]

    def _run_blocks(
        self, tokens: Tensor, start: int, extra: dict[str, Any], watched: int, class_row_only: bool
    ) -> Passed:
        calls: list[AttentionCall] = []
        for index in range(start, self.depth - 1):
            tokens = self._watch(index, calls, watched, tokens, extra)
        top = self.blocks[-1]
        if self._only_class_row and not top._forward_pre_hooks:
            tokens, call = class_row(top, tokens, class_row_only)
            if watched > 0:
                calls.append(call)
        else:
            tokens = self._watch(self.depth - 1, calls, watched, tokens, extra)
        return Passed(wide(self.model.forward_head(self.model.norm(tokens), pre_logits=True)), calls)

    def _watch(
        self, index: int, calls: list[AttentionCall], watched: int, tokens: Tensor, extra: dict[str, Any]
    ) -> Tensor:
        with ExitStack() as stack:
            caught = stack.enter_context(listen(1)) if index >= self.depth - watched else []
            tokens = self.blocks[index](tokens, **extra)
        calls.extend(caught)
        return tokens

    def class_attention(self, passed: Passed, prefix: int | None = None) -> Float[Tensor, "batch patches"]:
        """Returns [CLS] attention to the patches in the top layer, summing to 1; a pyramid, which has no [CLS], gives
        no patches.

        `prefix` is how many tokens come before the patches, where an adapter has added some.
        """
        if self.pyramid:
            return passed.features[:, :0]
        return class_attention(passed.calls[-1], self.prefix if prefix is None else prefix)


@contextmanager
def _entered_at(blocks: list[nn.Module], start: int, tokens: Tensor) -> Iterator[None]:
    """Inside, blocks below `start` do nothing, and block `start` takes `tokens` whatever it is called with."""

    def pass_on(*inputs: Any, **_: Any) -> Any:
        return inputs[0]

    def exchange(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tokens, *inputs[1:]

    for block in blocks[:start]:
        block.forward = pass_on
    handle = blocks[start].register_forward_pre_hook(exchange, prepend=True)
    try:
        yield
    finally:
        handle.remove()
        for block in blocks[:start]:
            del block.forward


def _unlike_images(side: int) -> Tensor:
    """Returns noise, and a slope of brightness: what leaks from one image of a batch to another shows."""
    noise = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
    return torch.stack([noise, torch.linspace(-3, 3, side).expand(3, side, side)])


def _image_size(model: Any) -> int:
    """Returns the side in pixels that the model was made for, or else trained on."""
    made = getattr(getattr(model, "patch_embed", None), "img_size", None)
    return int((made or model.pretrained_cfg["input_size"][1:])[0])
