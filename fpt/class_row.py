"""The top block for [CLS] alone: nothing above it reads the other rows, which cost 5/6 of the block."""

from typing import Any

import torch.nn.functional as F
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor

from fpt.attention import AttentionCall

CLASS_ROW = slice(0, 1)


def is_plain(block: Any) -> bool:
    """Whether the block is timm's standard one, whose [CLS] row can be computed alone."""
    return type(block) is Block and type(block.attn) is Attention and block.attn.gate is None


def class_row(block: Any, tokens: Tensor, class_row_only: bool) -> tuple[Tensor, AttentionCall]:
    """A plain block's output for [CLS] alone, and its attention; `class_row_only`: of which only [CLS] looks."""
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
