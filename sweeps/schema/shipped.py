"""The configurations that come with this program, each known by its name: `glyphs` is sweeps/configs/glyphs.yaml."""

from pathlib import Path

CONFIGS = Path(__file__).parents[1] / "configs"
SUFFIXES = ("", ".yaml", ".yml")


def file_of(config: Path) -> Path:
    """Returns the file that was meant by CONFIG: the file of that name, then, for a mere name, the one that has it with
    .yaml at its end, then the configuration of that name that comes with this program; else what was typed, which is
    no file.
    """
    mere_name = config.name == str(config)
    places = [Path(f"{config}{suffix}") for suffix in SUFFIXES] + [CONFIGS / f"{config}.yaml"] if mere_name else []
    return next((place for place in places if place.is_file()), config)


def is_shipped(config: Path) -> bool:
    """Returns whether a CONFIG is a name of one that comes with this program, which needs no file of the user's."""
    return file_of(config).parent == CONFIGS != config.parent


def name_of(file: Path) -> str | None:
    """Returns the name by which a file is known, None for one that does not come with this program."""
    return file.stem if file.resolve().parent == CONFIGS.resolve() and file.suffix == ".yaml" else None
