"""A timm vision transformer, cut in two: what is frozen and computed once, and the blocks that a solver adapts."""

# B images, T tokens, N patches, L layers, D dimensions

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

import fpt.glyphs.backbone  # noqa: F401  (registers the embedded backbone with timm)
from fpt.attention import AttentionCall, listen

CLASS_ROW = slice(0, 1)


class _Reached(Exception):
    """Carries what a block was called with out of a forward pass that need not go on."""

    def __init__(self, tokens: Tensor, extra: dict[str, Any]) -> None:
        self.tokens, self.extra = tokens, extra


@dataclass(frozen=True)
class Passed:
    """What came out of the upper blocks: features, and the attention calls that were asked for, top layer last."""

    features: Float[Tensor, "batch dim"]
    calls: list[AttentionCall]


class Backbone:
    """A frozen columnar transformer. Raises ValueError for an architecture without such blocks or a [CLS] token."""

    def __init__(self, model: Any) -> None:
        name = type(model).__name__
        for part in ("blocks", "norm", "forward_head", "num_prefix_tokens", "patch_embed"):
            if not hasattr(model, part):
                raise ValueError(f"backbone must be a columnar vision transformer but {name} has no {part}")
        if getattr(model, "global_pool", None) != "token":
            raise ValueError(f"backbone must pool its [CLS] token but {name} pools {model.global_pool!r}")
        self.model: Any = model.eval().requires_grad_(False)
        self.blocks: list[nn.Module] = list(self.model.blocks)
        self.depth = len(self.blocks)
        self.dim: int = self.model.num_features
        self.prefix: int = self.model.num_prefix_tokens
        grid = self.model.patch_embed.grid_size
        self.grid: tuple[int, int] = (int(grid[0]), int(grid[1]))
        self.patches = self.grid[0] * self.grid[1]
        config = model.pretrained_cfg
        self.image_size: int = (
            int(self.model.patch_embed.img_size[0])
            if hasattr(self.model.patch_embed, "img_size")
            else int(config["input_size"][-1])
        )
        parameter = next(model.parameters())
        self.device = parameter.device
        self._mean, self._std = (
            torch.tensor(config[key], device=self.device).view(1, 3, 1, 1) for key in ("mean", "std")
        )
        self._extra: dict[str, Any] = {}
        self._check_cut(name)

    @torch.no_grad()
    def _check_cut(self, name: str) -> None:
        """Tries on noise whether the model, cut in two, is still the model."""
        noise = torch.rand(1, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0))
        whole = self.model.forward_head(self.model.forward_features(noise.to(self.device)), pre_logits=True)
        cut = self.upper(self._lower(noise.to(self.device), 0), 0).features
        if not torch.allclose(whole, cut, rtol=1e-3, atol=1e-3 * float(whole.abs().max())):
            raise ValueError(
                f"backbone must give every block the same arguments and add its [CLS] token before the first, "
                f"but {name} does not"
            )

    def normalise(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
        """Images as the backbone was trained to see them."""
        return (images.to(self.device).permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std

    def lower(self, images: UInt8[Tensor, "batch height width 3"], start: int) -> Float[Tensor, "batch tokens dim"]:
        """Tokens that enter block `start` (0-based)."""
        return self._lower(self.normalise(images), start)

    def _lower(self, inputs: Tensor, start: int) -> Tensor:
        def stop(_: nn.Module, arguments: tuple[Tensor], extra: dict[str, Any]) -> None:
            raise _Reached(arguments[0], extra)

        handle = self.blocks[start].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model.forward_features(inputs)
        except _Reached as reached:
            self._extra = reached.extra
            return reached.tokens
        finally:
            handle.remove()
        raise ValueError(f"captured 0 of {self.depth} layers; does forward_features run the blocks one by one?")

    def upper(
        self, tokens: Float[Tensor, "batch tokens dim"], start: int, watched: int = 0, class_row_only: bool = True
    ) -> Passed:
        """Runs the blocks from `start` up, watching the attention of the last `watched`.

        With `class_row_only` the caller promises to read only [CLS] rows of the top layer's attention.
        """
        calls: list[AttentionCall] = []
        for index in range(start, self.depth - 1):
            tokens = self._watch(index, calls, watched, self.blocks[index], tokens)
        top = self.blocks[-1]
        if _is_plain(top) and not hasattr(self.model, "head_dist"):
            tokens, call = _class_row(top, tokens, class_row_only)
            if watched > 0:
                calls.append(call)
        else:
            tokens = self._watch(self.depth - 1, calls, watched, top, tokens)
        return Passed(self.model.forward_head(self.model.norm(tokens), pre_logits=True), calls)

    def _watch(
        self, index: int, calls: list[AttentionCall], watched: int, block: Callable[..., Tensor], tokens: Tensor
    ) -> Tensor:
        with ExitStack() as stack:
            caught = stack.enter_context(listen(1)) if index >= self.depth - watched else []
            tokens = block(tokens, **self._extra)
        calls.extend(caught)
        return tokens


def load_backbone(name: str, pretrained: bool = True, device: str | None = None) -> Backbone:
    """A backbone by its timm name, e.g. `vit_micro_glyphs` (embedded) or `vit_small_patch16_224.dino` (from the hub).

    `device` defaults to a GPU where there is one. Raises ValueError for an unknown name or an unsuitable architecture.
    """
    if not timm.is_model(name.split(".")[0]):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:3])
        raise ValueError(f"backbone.name must be a timm model (like {near}) but got {name!r}")
    try:
        model = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except RuntimeError as error:
        raise ValueError(f"backbone.name must have a tag that timm knows but got {name!r}: {error}") from error
    return Backbone(model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")))


def _is_plain(block: Any) -> bool:
    """Whether the block is timm's standard one, whose [CLS] row can be computed alone."""
    return type(block) is Block and type(block.attn) is Attention and block.attn.gate is None


def _class_row(block: Any, tokens: Tensor, class_row_only: bool) -> tuple[Tensor, AttentionCall]:
    """The block's output for [CLS] alone: nothing above reads the other rows, which cost 5/6 of the block."""
    attention = block.attn
    batch, count, _ = tokens.shape
    qkv = attention.qkv(block.norm1(tokens)).reshape(batch, count, 3, attention.num_heads, attention.head_dim)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    gathered = F.scaled_dot_product_attention(query[:, :, CLASS_ROW], key, value)
    gathered = attention.norm(gathered.transpose(1, 2).reshape(batch, 1, attention.attn_dim))
    row = tokens[:, CLASS_ROW] + block.drop_path1(block.ls1(attention.proj(gathered)))
    row = row + block.drop_path2(block.ls2(block.mlp(block.norm2(row))))
    read = query[:, :, CLASS_ROW] if class_row_only else query
    return row, AttentionCall(read, key, attention.scale, None)
