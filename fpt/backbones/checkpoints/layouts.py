"""Which repository a file's weights come from, as their names tell it, and those names in timm's words."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]
Colours = tuple[float, float, float]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIPS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIPS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# The same encoder twice in a file, one of them trained by the other: the first that a prefix names is taken.
PREFERRED = ("teacher", "target_encoder", "ema", "base_encoder", "encoder_q", "student", "momentum", "encoder_k")
# Names that no model of timm's has, by which an encoder in a foreign layout is found.
FOREIGN = (
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.weight",
    "embeddings.patch_embedding.weight",
    "class_embedding",
)
NEARLY = 0.9  # of the names that the best prefix matches

HF_VIT = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(?:encoder\.layer|layers)\.(\d+)\.", r"blocks.\1."),  # as files have it, and as models of transformers 5
    (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attn.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.(?:attention\.attention\.)?relative_position_bias\.(relative_position_bias_table)$", r".attn.\1"),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.lambda_(\d)$", r".gamma_\1"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"^layernorm\.", "norm."),
    (r"^pooler\.layernorm\.", "fc_norm."),
)
HF_DINOV3 = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^(?:model\.)?layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".gamma_\1"),
    (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
)
HF_CLIP = (
    (r"^embeddings\.class_embedding$", "cls_token"),
    (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
    (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
    (r"^pre_layrnorm\.", "norm_pre."),
    (r"^post_layernorm\.", "norm."),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1."),
    (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"^head\.probe$", "attn_pool.latent"),
    (r"^head\.attention\.in_proj_", "attn_pool.qkv."),
    (r"^head\.attention\.out_proj\.", "attn_pool.proj."),
    (r"^head\.layernorm\.", "attn_pool.norm."),
    (r"^head\.mlp\.", "attn_pool.mlp."),
)


@dataclass(frozen=True)
class Layout:
    """A layout is how a repository names weights. `pixels` are mean and standard deviation of the pixels that its
    models see, None where its files are of several kinds; `clip` is true for CLIP's encoders, whose activation the
    names do not tell.
    """

    name: str
    pixels: tuple[Colours, Colours] | None = None
    clip: bool = False


def layout_of(names: Collection[str], found_in: Iterable[str] = ()) -> Layout:
    """Returns the layout of a file by the names of its weights, and of the entries that these were found in."""
    words = {word for name in names for word in name.split(".")} | set(found_in)
    if "storage_tokens" in words or any(name.endswith(FOREIGN[1]) for name in names):
        return Layout("DINOv3")  # of photographs, or of satellites' pictures, which are others
    hugging = any(name.endswith(FOREIGN[0]) for name in names)
    if "patch_embedding" in words:
        clip = "class_embedding" in words
        return Layout("Hugging Face's CLIP", CLIPS, True) if clip else Layout("Hugging Face's SigLIP", SIGLIPS)
    if {"class_embedding", "conv1", "ln_pre"} <= words:
        return Layout("CLIP", CLIPS, True)
    if hugging and "layer_scale1" in words:
        return Layout("Hugging Face's DINOv2", IMAGENET)
    if hugging and "lambda_1" in words:
        return Layout("Hugging Face's BEiT")
    if hugging:
        mae = bool(words & {"decoder_layers", "decoder_encoder"})
        return Layout("Hugging Face's MAE", IMAGENET) if mae else Layout("Hugging Face's ViT")
    if words & {"decoder_blocks", "decoder_pos_embed"}:
        return Layout("MAE", IMAGENET)
    if "masked_embed" in words:
        return Layout("iBOT", IMAGENET)
    if "register_tokens" in words or {"mask_token", "ls1"} <= words:
        return Layout("DINOv2", IMAGENET)
    if words & {"teacher", "student", "last_layer"}:
        return Layout("DINO", IMAGENET)
    if "target_encoder" in words:
        return Layout("I-JEPA", IMAGENET)
    if words & {"base_encoder", "momentum_encoder"}:
        return Layout("MoCo v3", IMAGENET)
    if {"encoder", "mask_token"} <= words:
        return Layout("SimMIM", IMAGENET)
    return Layout("plain")


def without_prefix(state: Mapping[str, Tensor], wanted: Collection[str]) -> State:
    """Returns the weights below the prefix (`model.`, `net.encoder.` ...) under which most of the `wanted` names are,
    or those of an encoder in a foreign layout; all of them, by their own names, where that is no prefix.

    Of two encoders that match alike, a teacher or a moving average is taken. Raises ValueError where it is not known
    which of them is meant.
    """
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for place in range(len(parts)):
            rest, above = ".".join(parts[place:]), "".join(f"{part}." for part in parts[:place])
            if rest in FOREIGN and not above.endswith("embeddings."):
                counts[above] += len(wanted)
            elif rest in wanted:
                counts[above] += 1
    near = [prefix for prefix, count in counts.items() if count >= NEARLY * max(counts.values())]
    prefix = "" if not near or "" in near else near[0] if len(near) == 1 else _preferred(near)
    kept = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if "class_embedding" in kept:  # timm knows CLIP's encoder by the name that it has in the whole model
        return {f"visual.{name}": value for name, value in kept.items()}
    return kept


def _preferred(prefixes: list[str]) -> str:
    for word in PREFERRED:
        named = [prefix for prefix in prefixes if word in re.split(r"[._]", prefix) or word in prefix.split(".")]
        if len(named) == 1:
            return named[0]
    raise ValueError(f"but holds several that fit, named {', '.join(sorted(prefixes))}: save one of them alone")


def in_timms_words(state: State) -> State:
    """Returns the weights of Hugging Face's encoders, and DINOv3's biases, by timm's names; all others as they are."""
    if "embeddings.patch_embeddings.weight" in state:
        return _dinov3(state)
    if "storage_tokens" in state:
        return _with_biases_apart(state)
    if "embeddings.patch_embedding.weight" in state:
        return _clip(_renamed(state, HF_CLIP))
    if "embeddings.patch_embeddings.projection.weight" not in state:
        return state
    renamed = _fused(_beits_biases(_renamed(state, HF_VIT)), ("q", "k", "v"))
    if "register_tokens" in renamed:  # which timm's own translation of DINOv2 knows
        renamed.setdefault("mask_token", torch.zeros(1))
    return {name: value for name, value in renamed.items() if not name.startswith(("pooler.", "classifier"))}


def _renamed(state: State, rules: Iterable[tuple[str, str]]) -> State:
    renamed = {}
    for name, value in state.items():
        for pattern, word in rules:
            name = re.sub(pattern, word, name)
        renamed[name] = value
    return renamed


def _fused(state: State, kinds: tuple[str, str, str]) -> State:
    """Returns the weights with queries, keys and values of a layer below each other, as timm has them."""
    fused = {}
    query, *others = (f".attn.{kind}." for kind in kinds)
    for name, value in state.items():
        if query in name:
            parts = [state.get(name.replace(query, f".attn.{kind}.")) for kind in kinds]
            if all(part is not None for part in parts):
                fused[name.replace(query, ".attn.qkv.")] = torch.cat([part for part in parts if part is not None])
        elif not any(other in name for other in others):
            fused[name] = value
    return fused


def _beits_biases(state: State) -> State:
    """Returns the weights with biases of queries and values by timm's names, where keys have none."""
    if any(name.endswith(".attn.k.bias") for name in state):
        return state
    return {re.sub(r"\.attn\.([qv])\.bias$", r".attn.\1_bias", name): value for name, value in state.items()}


def _dinov3(state: State) -> State:
    renamed = _renamed(state, HF_DINOV3)
    gated = any(".mlp.fc1_g." in name for name in renamed)
    found: State = {}
    for name, value in renamed.items():
        if match := re.fullmatch(r"(.*\.attn\.)([qv])\.bias", name):
            found[f"{match[1]}{match[2]}_bias"] = value
        elif name != "embeddings.mask_token":
            found[name.replace(".mlp.up_proj.", ".mlp.fc1_x." if gated else ".mlp.fc1.")] = value
    return _fused(found, ("q", "k", "v"))


def _with_biases_apart(state: State) -> State:
    """Returns the weights with biases of queries and values apart, as timm has them; those of keys are nothing."""
    found: State = {}
    for name, value in state.items():
        if name.endswith(".attn.qkv.bias"):
            query, _, values = value.chunk(3)
            found |= {name.replace("qkv.bias", "q_bias"): query, name.replace("qkv.bias", "v_bias"): values}
        else:
            found[name] = value
    return found


def _clip(renamed: State) -> State:
    state = _fused(renamed, ("q", "k", "v"))
    state.pop("embeddings.position_ids", None)
    state["pos_embed"] = state["pos_embed"].unsqueeze(0)
    if "cls_token" in state:
        state["cls_token"] = state["cls_token"].view(1, 1, -1)
    for kind in ("weight", "bias"):
        if (pooled := state.pop(f"attn_pool.qkv.{kind}", None)) is not None:
            width = len(pooled) // 3
            state[f"attn_pool.q.{kind}"], state[f"attn_pool.kv.{kind}"] = pooled[:width], pooled[width:]
    return state
