"""The top block for [CLS] alone: nothing above it reads the other rows, which cost 5/6 of the block.

Where nobody reads the other rows' attention either, no token's key or value is computed. Both are linear in the tokens,
so that [CLS] can look at the tokens themselves: q (W x) = (q W) x, and the sum of a (W x) is W times the sum of a x.
"""

# S problems, B images, H heads, T tokens, D dimensions, C dimensions of a head

from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from fpt.backbones.attention import AttentionCall
from fpt.exact import rounds_products

CLASS_ROW = slice(0, 1)
Weights = tuple[Float[Tensor, "_ outputs inputs"], Float[Tensor, "_ outputs"]]  # leading with S, or 1 for all problems


@runtime_checkable
class StackedWeights(Protocol):
    """A forward hook of a linear layer which amounts to weights and a bias of its own for each problem of a stack."""

    def merged(self, weight: Tensor, bias: Tensor) -> Weights:
        """Returns what `weight` and `bias` become."""


def is_plain(block: Any) -> bool:
    """Tells whether the block is timm's standard one, whose [CLS] row can be computed alone."""
    return type(block) is Block and type(block.attn) is Attention and block.attn.gate is None


def class_row(block: Any, tokens: Tensor, class_row_only: bool) -> tuple[Tensor, AttentionCall]:
    """Returns a plain block's output for [CLS] alone, and its attention, in which with `class_row_only` nobody else
    looks.
    """
    attention, normed = block.attn, block.norm1(tokens)
    read_exactly = normed.dtype == torch.float32 and not rounds_products()
    weights = _own_weights(attention) if class_row_only and read_exactly else None
    if weights is None:
        gathered, call = _by_keys(attention, normed, class_row_only)
    else:
        gathered, call = _by_tokens(attention, normed, *weights)
    row = tokens[:, CLASS_ROW] + block.drop_path1(block.ls1(attention.proj(attention.norm(gathered))))
    return row + block.drop_path2(block.ls2(block.mlp(block.norm2(row)))), call


def _own_weights(attention: Any) -> Weights | None:
    """Returns weights of the projection to queries, keys and values; None where something that is not linear follows
    it.
    """
    linear, bias = attention.qkv, attention.qkv.bias
    if not isinstance(attention.k_norm, nn.Identity):
        return None
    own = linear.weight[None], linear.weight.new_zeros(1, linear.out_features) if bias is None else bias[None]
    for hook in linear._forward_hooks.values():
        if not isinstance(hook, StackedWeights):
            return None
        own = hook.merged(*own)
    return own


def _by_keys(attention: Any, normed: Tensor, class_row_only: bool) -> tuple[Tensor, AttentionCall]:
    """Returns what [CLS] gathers, in the usual way."""
    batch, count, _ = normed.shape
    qkv = attention.qkv(normed).reshape(batch, count, 3, attention.num_heads, attention.head_dim)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    gathered = F.scaled_dot_product_attention(query[:, :, CLASS_ROW], key, value)
    read = query[:, :, CLASS_ROW] if class_row_only else query
    return gathered.transpose(1, 2).reshape(batch, 1, -1), AttentionCall(read, key, attention.scale, None)


def _by_tokens(attention: Any, normed: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, AttentionCall]:
    """Returns what [CLS] gathers, by way of the tokens. Logits leave out the keys' bias: the same for all tokens, no
    softmax sees it.
    """
    stack, heads, width = len(weight), attention.num_heads, attention.head_dim
    query_SOD, key_SOD, value_SOD = weight.chunk(3, 1)
    query_bias_SO, _, value_bias_SO = bias.chunk(3, 1)
    rows_SBD = normed[:, 0].unflatten(0, (stack, -1))
    asked_SBO = torch.baddbmm(query_bias_SO[:, None], rows_SBD, query_SOD.transpose(1, 2))
    asked_SBHC = attention.q_norm(asked_SBO.unflatten(2, (heads, width))) * attention.scale
    looked_SBHD = torch.einsum("sbhc,shcd->sbhd", asked_SBHC, key_SOD.unflatten(1, (heads, width)))
    logits_BHT = looked_SBHD.flatten(0, 1) @ normed.transpose(1, 2)
    seen_SBHD = (logits_BHT.softmax(-1) @ normed).unflatten(0, (stack, -1))
    gathered_SBHC = torch.einsum("sbhd,shcd->sbhc", seen_SBHD, value_SOD.unflatten(1, (heads, width)))
    gathered_SBO = gathered_SBHC.flatten(2) + value_bias_SO[:, None]
    return gathered_SBO.flatten(0, 1)[:, None], AttentionCall(None, None, 1.0, logits_BHT[:, :, None])
