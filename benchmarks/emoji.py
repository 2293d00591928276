"""Pictures that are not this project's, as folders of classes: emoji as four vendors draw them, alone and in scenes.

`npm pack emoji-datasource-apple emoji-datasource-google emoji-datasource-twitter emoji-datasource-facebook`, each
unpacked into a folder of its vendor's name in FOLDER; then `python -m benchmarks.emoji FOLDER` makes `alone` there, the
four drawings of each of 420 emoji, and `scenes`, twelve pictures of each: it and two of 32 others that all classes
share, turned, of any size and vendor. `fpt sweep` takes either as `dataset.path`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

VENDORS = ("apple", "google", "twitter", "facebook")
CONTEXT, CLASSES, SCENES, SEED = 32, 420, 12, 7
DRAWN, SIDE = 64, 96  # pixels
SIZES, TURN = (30, 44), 20  # pixels, degrees


def drawings(folder: Path, vendor: str) -> Path:
    """Returns where a vendor's drawings lie, each DRAWN wide and high."""
    return folder / vendor / "package" / "img" / vendor / str(DRAWN)


def drawn(folder: Path, vendor: str, name: str) -> Image.Image:
    """Returns a vendor's drawing of an emoji."""
    return Image.open(drawings(folder, vendor) / name).convert("RGBA")


def names_in(folder: Path, random: np.random.Generator) -> list[str]:
    """Returns the emoji that all vendors draw, but flags and those that are made of several, in random order."""
    each = [{path.name for path in drawings(folder, vendor).iterdir()} for vendor in VENDORS]
    names = sorted(name for name in set.intersection(*each) if "-" not in name and not name.startswith("1f1e"))
    random.shuffle(names)
    return names


def scene(folder: Path, things: list[str], random: np.random.Generator) -> Image.Image:
    """Returns three emoji on a noisy ground, each in a quarter of its own."""
    ground = random.integers(60, 220, 3) + random.normal(0, 12, (SIDE, SIDE, 3))
    picture = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8)).convert("RGBA")
    half = SIDE // 2
    quarters = random.permutation([(x, y) for x in (0, half) for y in (0, half)])[: len(things)]
    for name, (x, y) in zip(things, quarters, strict=True):
        side = int(random.integers(*SIZES))
        own = drawn(folder, VENDORS[int(random.integers(len(VENDORS)))], name).resize((side, side))
        own = own.rotate(float(random.uniform(-TURN, TURN)), resample=Image.Resampling.BICUBIC)
        right, down = random.integers(0, half - side + 1, 2)
        picture.alpha_composite(own, (int(x + right), int(y + down)))
    return picture.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    random = np.random.default_rng(SEED)
    names = names_in(folder, random)
    context, classes = names[:CONTEXT], names[CONTEXT : CONTEXT + CLASSES]
    for name in classes:
        alone, scenes = (folder / kind / Path(name).stem for kind in ("alone", "scenes"))
        for made in (alone, scenes):
            made.mkdir(parents=True, exist_ok=True)
        for vendor in VENDORS:
            white = Image.new("RGBA", (DRAWN, DRAWN), "white")
            white.alpha_composite(drawn(folder, vendor, name))
            white.convert("RGB").save(alone / f"{vendor}.png")
        for number in range(SCENES):
            others = random.choice(context, 2, replace=False).tolist()
            scene(folder, [name, *others], random).save(scenes / f"{number}.png")


if __name__ == "__main__":
    main()
