"""A sweep that is over in seconds: sweeps/configs/glyphs.yaml, made small. It fixes all that tests count on."""

from pathlib import Path

CONFIG = Path(__file__).parents[2] / "sweeps" / "configs" / "glyphs.yaml"
TINY = [
    "name=tiny",
    "dataset={images_per_class: 8}",
    "backbone.precision=float32",
    "episodes={split: novel, way: 3, shot: 1, query: 3}",
    "solver={name: lora, lr: 0.01, epochs: 2, blocks: 2, rank: 4}",
    "prompts={variant: scaled, lambda: 1, alpha: 1, tau: 1, patches: 6, layers: 2, rows: class}",
    "search.split=validation",
    "search.seed=0",
    "search.trials=6",
    "search.finalists=2",
    "search.rungs=[2, 4]",
    "search.stop=halving",
    "search.keep=0.5",
    "search.space.lambda={low: 0.03, high: 30, log: true}",
    "search.space.alpha={low: 0.03, high: 10, log: true, zero: true}",
    "search.space.tau={low: 0.3, high: 3, log: true}",
    "search.space.patches={low: 2, high: 16, log: true, integer: true}",
    "search.space.lr={low: 0.002, high: 0.05, log: true}",
    "search.first={no prompts: {alpha: 0, lr: 0.01}}",
    "search.first.paper defaults={lambda: 1, alpha: 7, tau: 1, patches: 4, lr: 0.005}",
    "final={episodes: 6, masks: true, ensemble: 5, confidence: 300}",
    "compute.workers=2",
]
