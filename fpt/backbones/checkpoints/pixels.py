"""Which mean and standard deviation a backbone's pixels have, and who says so."""

import timm

from fpt.backbones.checkpoints.beside import Beside
from fpt.backbones.checkpoints.layouts import IMAGENET, Colours, Layout

Pixels = tuple[Colours, Colours]


def pixels_of_file(name: str, own: Pixels, layout: Layout, beside: Beside, source: str) -> Pixels:
    """Returns the mean and standard deviation that a local file's weights were trained with. A tag of timm's in `name`
    decides, then what is said beside the file, then its layout; then the architecture's `own`, where timm knows no
    others of it and they are ImageNet's, or where it is none of timm's.

    Raises ValueError where none of these tells them, for a backbone that sees other pixels works, a little worse.
    """
    architecture, _, tag = name.partition(".")
    if tag:
        return own
    if beside.pixels or layout.pixels:
        return beside.pixels or layout.pixels or own
    tags = timm.list_models(f"{architecture}.*", pretrained=True)
    known = {_rounded(_of_timm(tagged)) for tagged in tags}
    if not tags or known == {_rounded(IMAGENET)}:
        return own
    example = next((one for one in tags if _rounded(_of_timm(one)) == _rounded(IMAGENET)), tags[0])
    several = " or ".join(str(list(mean)) for mean, _ in sorted(known))
    raise ValueError(
        f"backbone.mean and backbone.std must be given for {source}, whose names do not tell them, under the name "
        f"{name}, of which timm's weights have means of {several}: DINO, MAE and iBOT have mean {list(IMAGENET[0])} "
        f"and std {list(IMAGENET[1])}; or give backbone.name the tag of weights that saw such pixels, like {example}"
    )


def _of_timm(name: str) -> Pixels:
    config = timm.get_pretrained_cfg(name)
    return tuple(config.mean), tuple(config.std)


def _rounded(pixels: Pixels) -> Pixels:
    (a, b, c), (d, e, f) = ([round(value, 3) for value in part] for part in pixels)
    return (a, b, c), (d, e, f)
