"""Weights from a local file into a timm model: no code in the file is run, and what does not fit is told."""

import contextlib
import inspect
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fpt.backbones.checkpoints.beside import NOTHING_BESIDE, Beside
from fpt.backbones.checkpoints.fitting import BIASES_APART, architecture, check_finite, check_fits
from fpt.backbones.checkpoints.layouts import State, in_timms_words, layout_of, without_prefix
from fpt.backbones.checkpoints.unpacking import unpack, weights_in

PREFIXES = ("module.", "_orig_mod.", "backbone.")
# Parts that a model has or has not: of these, a file must hold no more than the model.
VITAL = (
    *("blocks", "cls_token", "dist_token", "reg_token", "pos_embed", "patch_embed", "norm_pre", "norm", "fc_norm"),
    *("attn_pool", "rope"),
)
NAMES_SHOWN = 3

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Matched:
    """Tells how a file's weights met a model's, by name. A `mismatched` one has its shape in the file, then in the
    model. `heads` is how many the model was given to fit the file, and `epsilon` what its layer norms add to a
    variance, None where it has what timm gives it.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, Shape, Shape], ...]
    heads: int | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class FileWeights:
    """Holds the weights of a file, and the names of the entries that they were found in, the outermost first."""

    state: State
    found_in: tuple[str, ...]


def read_file(path: Path) -> FileWeights:
    """Returns the weights in a file of safetensors or PyTorch, whatever it is called, as they were saved by DINO, iBOT,
    MAE, DeiT, timm, Lightning or Hugging Face.

    Of several sets of weights in one file, a teacher is preferred to averaged weights (`model_ema`), these to plain
    ones, and a student comes last. Prefixes of wrappers (`module.`, `backbone.`) are dropped; projection heads keep
    their names. Raises ValueError for a file that cannot be read, needs code to run, or holds no weights.
    """
    path = path.expanduser()
    tensors, found_in = weights_in(unpack(path))
    if not tensors:
        raise ValueError(f"weights must be tensors by name but {path} holds none where they were looked for")
    bare = {_bare(name): value for name, value in tensors.items()}
    if len(bare) < len(tensors):
        raise ValueError(f"weights must have one name each but in {path} some differ only in {', '.join(PREFIXES)}")
    return FileWeights(bare, found_in)


def read_weights(path: Path) -> State:
    """Returns the weights in a file, by name. Raises ValueError as read_file does."""
    return read_file(path).state


def own_names(model: nn.Module, state: State, source: str) -> State:
    """Returns a file's weights of the encoder that fits the model, without a prefix, by the names that timm knows.

    Raises ValueError where several encoders fit.
    """
    try:
        return in_timms_words(without_prefix(state, model.state_dict().keys()))
    except ValueError as error:
        raise ValueError(f"{source} must hold one set of weights {error}") from error


def load_weights(
    model: nn.Module, state: State, source: str, found_in: Iterable[str] = (), beside: Beside = NOTHING_BESIDE
) -> Matched:
    """Copies into the model what fits it by name and shape, after translation of the file's layout.

    timm's translation also resamples position embeddings to the model's image size. Raises ValueError, and leaves the
    model as it was, unless the file holds all of the model's weights but those of a classification head, no further
    blocks, embeddings or norms, and nothing that is not finite. `source` names the file in errors, `found_in` the
    entries that it held the weights in, `beside` is what is said of them there.
    """
    named, wanted = own_names(model, state, source), model.state_dict()
    check_fits(model, named, layout_of(state, found_in), beside, source)
    offered = _translated(model, named, source)
    nothing = [name for name in offered.keys() - wanted.keys() if name.endswith(BIASES_APART)]  # as was checked
    offered = {name: value for name, value in offered.items() if name not in nothing}
    shared = sorted(offered.keys() & wanted.keys())
    result = Matched(
        matched=tuple(name for name in shared if offered[name].shape == wanted[name].shape),
        missing=tuple(sorted(wanted.keys() - offered.keys())),
        unexpected=tuple(sorted(offered.keys() - wanted.keys())),
        mismatched=tuple(
            (name, tuple(offered[name].shape), tuple(wanted[name].shape))
            for name in shared
            if offered[name].shape != wanted[name].shape
        ),
    )
    needed = {name: wanted[name].numel() for name in _needed(model)}
    lacking = needed.keys() - set(result.matched)
    if lacking or any(map(_is_vital, result.unexpected)):
        share = 1 - sum(needed[name] for name in lacking) / sum(needed.values())
        raise ValueError(
            f"{source} must hold the weights of {architecture(model)}: all but a classification head's, and no more "
            f"of {', '.join(VITAL)}; but {share:.1%} of them fit, {_told(result)}"
        )
    check_finite({name: offered[name] for name in result.matched}, source)
    model.load_state_dict({name: offered[name] for name in result.matched}, strict=False)
    return result


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _needed(model: nn.Module) -> list[str]:
    """Returns the names of what changes features: all parameters and running means, but those of a head."""
    named = [name for name, _ in model.named_parameters()]
    named += [name for name in model.state_dict() if name.endswith(("running_mean", "running_var"))]
    kept = [name for name in named if not name.startswith("head") or "norm" in name or "pre_logits" in name]
    return kept or named


def _filter(model: nn.Module) -> Callable[..., State] | None:
    """Returns timm's `checkpoint_filter_fn`, which lies beside the model's class or the class that it was derived
    from.
    """
    homes = (sys.modules[parent.__module__] for parent in type(model).__mro__)
    return next((home.checkpoint_filter_fn for home in homes if hasattr(home, "checkpoint_filter_fn")), None)


def _translated(model: nn.Module, state: State, source: str) -> State:
    translate = _filter(model)
    if translate is None:
        return state
    # DeiT III's own names of its layer scales, which timm otherwise turns on in a closure of its model builder.
    names = {"adapt_layer_scale": True} if "adapt_layer_scale" in inspect.signature(translate).parameters else {}
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # on which some print
            return translate(dict(state), model, **names)  # a copy: some take entries out
    except Exception as error:  # how timm's code fails on a file of another architecture is anyone's guess
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{source} must hold the weights of {architecture(model)} but timm cannot translate them: {reason}"
        ) from error


def _is_vital(name: str) -> bool:
    return any(part in VITAL for part in name.split("."))


def _told(result: Matched) -> str:
    """Returns the counts, and the first names of each kind, vital ones first."""
    shapes = {name: f"{name} {in_file} for {in_model}" for name, in_file, in_model in result.mismatched}
    kinds = {"missing": result.missing, "unexpected": result.unexpected, "of another shape": tuple(shapes)}
    told = [f"{len(result.matched)} by name and shape"]
    for kind, names in kinds.items():
        first = [shapes.get(name, name) for name in sorted(names, key=lambda name: not _is_vital(name))[:NAMES_SHOWN]]
        listed = f" ({', '.join(first)}{', ...' if len(names) > NAMES_SHOWN else ''})" if names else ""
        told.append(f"{len(names)} {kind}{listed}")
    return ", ".join(told)
