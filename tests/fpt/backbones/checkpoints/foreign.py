"""Weights of a timm model as other repositories name and nest them, by the slow obvious road, name by name."""

import torch

# timm's words for a block's parts -> Hugging Face's, for ViT and for DINOv2; queries, keys and values apart.
VIT = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
DINOV2 = {"norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
CLIP = {"norm1": "layer_norm1", "norm2": "layer_norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


def zeros(state):
    return {name: torch.zeros_like(value) for name, value in state.items()}


def renamed(state, words):
    """Weights with the words of their names exchanged, one after the other."""
    found = {}
    for name, value in state.items():
        for own, other in words.items():
            name = name.replace(own, other)
        found[name] = value
    return found


def _depth(state):
    return 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))


def hugging_vit(state, words=VIT):
    found = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for block in range(_depth(state)):
        ours, theirs = f"blocks.{block}.", f"encoder.layer.{block}."
        for kind in ("weight", "bias"):
            for part, value in zip(("query", "key", "value"), state[f"{ours}attn.qkv.{kind}"].chunk(3), strict=True):
                found[f"{theirs}attention.attention.{part}.{kind}"] = value
            found[f"{theirs}attention.output.dense.{kind}"] = state[f"{ours}attn.proj.{kind}"]
            for own, other in words.items():
                found[f"{theirs}{other}.{kind}"] = state[f"{ours}{own}.{kind}"]
    return found


def of_transformers_5(state):
    """As Hugging Face's models name their parts in memory; in files they have the names of before."""
    words = {
        "encoder.layer.": "layers.",
        ".intermediate.dense.": ".mlp.fc1.",
        ".attention.output.dense.": ".attention.o_proj.",
    }
    words |= {f".attention.attention.{part}.": f".attention.{part[0]}_proj." for part in ("query", "key", "value")}
    words |= {".output.dense.": ".mlp.fc2.", ".attention.attention.relative": ".relative"}
    return renamed(state, words)


def hugging_beit(state):
    """Keys have no bias there, and positions are relative."""
    words = {
        "fc_norm": "pooler.layernorm",
        "norm": "layernorm",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
    }
    found = {"embeddings.cls_token": state["cls_token"]}
    for own, other in words.items():
        found |= {f"{other}.{kind}": state[f"{own}.{kind}"] for kind in ("weight", "bias") if f"{own}.{kind}" in state}
    for block in range(_depth(state)):
        ours, theirs = f"blocks.{block}.", f"encoder.layer.{block}."
        table = "relative_position_bias_table"
        found[f"{theirs}attention.attention.relative_position_bias.{table}"] = state[f"{ours}attn.{table}"]
        for part, value in zip(("query", "key", "value"), state[f"{ours}attn.qkv.weight"].chunk(3), strict=True):
            found[f"{theirs}attention.attention.{part}.weight"] = value
        for part, bias in (("query", "q_bias"), ("value", "v_bias")):
            found[f"{theirs}attention.attention.{part}.bias"] = state[f"{ours}attn.{bias}"]
        for scale in (1, 2):
            found[f"{theirs}lambda_{scale}"] = state[f"{ours}gamma_{scale}"]
        for kind in ("weight", "bias"):
            for own, other in {**VIT, "attn.proj": "attention.output.dense"}.items():
                found[f"{theirs}{other}.{kind}"] = state[f"{ours}{own}.{kind}"]
    return found


def eva02(state):
    """As its authors name EVA-02, of which the larger have queries, keys and values apart, and norms in between."""
    words = {"attn.norm": "attn.inner_attn_ln", "mlp.norm": "mlp.ffn_ln", "mlp.fc1_g": "mlp.w1", "mlp.fc1_x": "mlp.w2"}
    apart = "blocks.0.mlp.fc1_g.weight" in state
    words |= {"q_proj.bias": "q_bias", "v_proj.bias": "v_bias"}
    words["mlp.fc1."], words["mlp.fc2"] = "mlp.w12.", "mlp.w3"
    found = {"rope.freqs_cos": torch.ones(4, 16), "rope.freqs_sin": torch.ones(4, 16)}
    found |= renamed(state, words)
    assert apart == ("blocks.0.attn.q_proj.weight" in found)
    return found


def hugging_dinov2(state):
    found = hugging_vit({"cls_token": None, **state}, DINOV2)
    for block in range(_depth(state)):
        for scale in (1, 2):
            found[f"encoder.layer.{block}.layer_scale{scale}.lambda1"] = state[f"blocks.{block}.ls{scale}.gamma"]
    if "reg_token" in state:  # there, [CLS] has a position of its own
        position = torch.randn(1, 1, state["cls_token"].shape[2], generator=torch.Generator().manual_seed(1))
        found["embeddings.cls_token"] = state["cls_token"] - position
        found["embeddings.register_tokens"] = state["reg_token"]
        found["embeddings.position_embeddings"] = torch.cat([position, state["pos_embed"]], 1)
    found["embeddings.mask_token"] = torch.zeros(1, state["cls_token"].shape[2])
    return found


def hugging_clip(state):
    """Of CLIP and, where there is no [CLS], of SigLIP, whose head is timm's attention pooling."""
    found = {
        "embeddings.patch_embedding.weight": state["patch_embed.proj.weight"],
        "embeddings.position_embedding.weight": state["pos_embed"][0],
        "embeddings.position_ids": torch.arange(state["pos_embed"].shape[1])[None],
    }
    if "cls_token" in state:
        found["embeddings.class_embedding"] = state["cls_token"][0, 0]
    else:
        found["embeddings.patch_embedding.bias"] = state["patch_embed.proj.bias"]
    for kind in ("weight", "bias"):
        found[f"post_layernorm.{kind}"] = state[f"norm.{kind}"]
        if "norm_pre.bias" in state:
            found[f"pre_layrnorm.{kind}"] = state[f"norm_pre.{kind}"]
        for block in range(_depth(state)):
            ours, theirs = f"blocks.{block}.", f"encoder.layers.{block}."
            for part, value in zip("qkv", state[f"{ours}attn.qkv.{kind}"].chunk(3), strict=True):
                found[f"{theirs}self_attn.{part}_proj.{kind}"] = value
            found[f"{theirs}self_attn.out_proj.{kind}"] = state[f"{ours}attn.proj.{kind}"]
            for own, other in CLIP.items():
                found[f"{theirs}{other}.{kind}"] = state[f"{ours}{own}.{kind}"]
        if "attn_pool.latent" in state:
            joined = [state[f"attn_pool.{part}.{kind}"] for part in ("q", "kv")]
            found[f"head.attention.in_proj_{kind}"] = torch.cat(joined)
            found[f"head.attention.out_proj.{kind}"] = state[f"attn_pool.proj.{kind}"]
            found[f"head.layernorm.{kind}"] = state[f"attn_pool.norm.{kind}"]
            for layer in ("fc1", "fc2"):
                found[f"head.mlp.{layer}.{kind}"] = state[f"attn_pool.mlp.{layer}.{kind}"]
    if "attn_pool.latent" in state:
        found["head.probe"] = state["attn_pool.latent"]
    return found


def whole_hugging_clip(state):
    return {
        **prefixed(hugging_clip(state), "vision_model."),
        "text_model.embeddings.token_embedding.weight": torch.ones(5, 8),
        "visual_projection.weight": torch.ones(8, 8),
        "logit_scale": torch.ones(()),
    }


def openai_clip(state):
    """The image encoder alone, as OpenAI's and OpenCLIP's own classes name it."""
    found = {
        "class_embedding": state["cls_token"][0, 0],
        "positional_embedding": state["pos_embed"][0],
        "proj": torch.ones(state["cls_token"].shape[2], 8),
        "conv1.weight": state["patch_embed.proj.weight"],
    }
    for kind in ("weight", "bias"):
        found[f"ln_pre.{kind}"] = state[f"norm_pre.{kind}"]
        found[f"ln_post.{kind}"] = state[f"norm.{kind}"]
        for block in range(_depth(state)):
            ours, theirs = f"blocks.{block}.", f"transformer.resblocks.{block}."
            found[f"{theirs}attn.in_proj_{kind}"] = state[f"{ours}attn.qkv.{kind}"]
            found[f"{theirs}attn.out_proj.{kind}"] = state[f"{ours}attn.proj.{kind}"]
            found[f"{theirs}ln_1.{kind}"] = state[f"{ours}norm1.{kind}"]
            found[f"{theirs}ln_2.{kind}"] = state[f"{ours}norm2.{kind}"]
            found[f"{theirs}mlp.c_fc.{kind}"] = state[f"{ours}mlp.fc1.{kind}"]
            found[f"{theirs}mlp.c_proj.{kind}"] = state[f"{ours}mlp.fc2.{kind}"]
    return found


def whole_openai_clip(state):
    return {
        **prefixed(openai_clip(state), "visual."),
        "transformer.resblocks.0.ln_1.weight": torch.ones(8),
        "token_embedding.weight": torch.ones(5, 8),
        "logit_scale": torch.ones(()),
    }


def dinov2_with_registers(state):
    """Meta's own names; [CLS] has a position there."""
    position = torch.randn(1, 1, state["cls_token"].shape[2], generator=torch.Generator().manual_seed(1))
    kept = {name: value for name, value in state.items() if name != "reg_token"}
    return {
        **kept,
        "register_tokens": state["reg_token"],
        "cls_token": state["cls_token"] - position,
        "pos_embed": torch.cat([position, state["pos_embed"]], 1),
        "mask_token": torch.zeros(1, state["cls_token"].shape[2]),
    }


def hugging_dinov3(state):
    """Keys have no bias there; a gated block's first layer is two."""
    gated = "blocks.0.mlp.fc1_g.weight" in state
    words = {"norm1": "norm1", "norm2": "norm2", "mlp.fc2": "mlp.down_proj", "attn.proj": "attention.o_proj"}
    words |= {"mlp.fc1_g": "mlp.gate_proj", "mlp.fc1_x": "mlp.up_proj"} if gated else {"mlp.fc1": "mlp.up_proj"}
    found = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.register_tokens": state["reg_token"],
        "embeddings.mask_token": torch.ones_like(state["cls_token"]),
    }
    for kind in ("weight", "bias"):
        found[f"embeddings.patch_embeddings.{kind}"] = state[f"patch_embed.proj.{kind}"]
        found[f"norm.{kind}"] = state[f"norm.{kind}"]
        for block in range(_depth(state)):
            for own, other in words.items():
                found[f"layer.{block}.{other}.{kind}"] = state[f"blocks.{block}.{own}.{kind}"]
    for block in range(_depth(state)):
        ours, theirs = f"blocks.{block}.", f"layer.{block}."
        for part, value in zip("qkv", state[f"{ours}attn.qkv.weight"].chunk(3), strict=True):
            found[f"{theirs}attention.{part}_proj.weight"] = value
        for part in "qv":
            if f"{ours}attn.{part}_bias" in state:
                found[f"{theirs}attention.{part}_proj.bias"] = state[f"{ours}attn.{part}_bias"]
        for scale in (1, 2):
            found[f"{theirs}layer_scale{scale}.lambda1"] = state[f"{ours}gamma_{scale}"]
    return found


def dinov3(state):
    """Meta's own names: biases of queries, keys and values in one, of which a mask takes those of keys away."""
    found = {}
    for name, value in state.items():
        if name.endswith(("q_bias", "v_bias")):
            continue
        found[name.replace("gamma_", "ls").replace("reg_token", "storage_tokens")] = value
    found = {f"{name}.gamma" if name.endswith((".ls1", ".ls2")) else name: value for name, value in found.items()}
    for block in range(_depth(state)):
        attention = f"blocks.{block}.attn."
        width = state["cls_token"].shape[2]
        parts = [state.get(f"{attention}{part}_bias", torch.zeros(width)) for part in "qv"]
        found[f"{attention}qkv.bias"] = torch.cat([parts[0], torch.ones(width), parts[1]])
        found[f"{attention}qkv.bias_mask"] = torch.full((3 * width,), torch.nan)
    found["rope_embed.periods"], found["mask_token"] = torch.ones(4), torch.ones(1, state["cls_token"].shape[2])
    return found
