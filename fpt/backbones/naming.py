"""What a backbone is called elsewhere, and the name of timm's that may have been meant."""

import re
from difflib import get_close_matches

import timm

from fpt.registry import timms_name

SIZES = {"Ti": "tiny", "T": "tiny", "S": "small", "B": "base", "L": "large", "H": "huge", "G": "giant"}


def check_name(name: str) -> str:
    """Returns timm's name of a backbone. Raises ValueError for one that timm does not know, with the nearest."""
    plain = timms_name(name)
    if timm.is_model(plain.split(".")[0]):
        return plain
    if source := re.match(r"(hf[-_]hub|local-dir|https?|s3):", plain):
        raise ValueError(
            f"backbone.name must be the name of a timm model but got {name!r}: of what {source[1]} names, only "
            "hf-hub:timm/NAME is known; download its weights, and give them as backbone.weights"
        )
    raise ValueError(f"backbone.name must be a timm model (like {', '.join(_near(plain))}) but got {name!r}")


def _near(name: str) -> list[str]:
    """Returns three names of timm's that are near: by size and patches as papers write them, by a tag, by letters."""
    if paper := re.fullmatch(r"(?i)(vit|deit|dino|dinov2|clip|mae)?[-_ ]?(Ti|[TSBLHG])[-_/]?(\d+)", name):
        size = next(word for letter, word in SIZES.items() if letter.lower() == paper[2].lower())
        found = timm.list_models(f"vit_{size}_patch{paper[3]}*")
        plain = [one for one in found if re.fullmatch(rf"vit_{size}_patch{paper[3]}_\d+", one)]
        if found:
            return [*plain, *found][:3]
    lower = name.lower().replace("-", "_").replace("/", "_")
    known = timm.list_models()
    near = get_close_matches(lower.split(".")[0], known, 3, 0.6)
    tagged = timm.list_models(f"vit*{lower}*", pretrained=True) if re.fullmatch(r"\w+", lower) else []
    return near or sorted(tagged, key=len)[:3] or timm.list_models(f"*{lower.split('_')[0]}*")[:3] or [known[0]]
