"""What a backbone in bfloat16 costs in accuracy: the paired difference to float32 on the embedded data.

    python -m benchmarks.precisions --episodes 64

Prompts are those of `scaled` under one initial head; beside accuracy it is told how many of the prompt patches change.
A processor will do: rounding is that of the format, and a GPU's of its kernels beside. Nothing is written.
"""

import argparse
import json

import numpy as np
import torch
from scipy import stats

from fpt.backbones.loading import best_device, load_backbone
from fpt.backbones.precision import use_precision
from fpt.glyphs.characters import characters
from fpt.glyphs.scenes import scene
from fpt.problems.evidence import prompts_of_all
from fpt.problems.frozen import freeze_episodes
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.problems.solving import solve
from fpt.solvers import Training

WAY, SHOT, QUERY, TOGETHER = 5, 5, 10, 4
SETTINGS = {
    "lora": Setting("lora", Training(WAY, blocks=2, epochs=10), variant="scaled", alpha=0.3, lr=2e-2),
    "lora without prompts": Setting("lora", Training(WAY, blocks=2, epochs=10), alpha=0.0, lr=2e-2),
    "protonet": Setting("protonet", Training(WAY, blocks=2)),
}


def drawn(indices: range) -> np.ndarray:
    """Returns images of some episodes: episodes x classes x images of each."""
    names = len(characters("novel"))
    return np.stack(
        [
            [
                [scene("novel", int(way), image).image for image in range(SHOT + QUERY)]
                for way in np.random.default_rng([0, index]).choice(names, WAY, replace=False)
            ]
            for index in indices
        ]
    )


def solved(precision: str, indices: range, device: str) -> tuple[dict[str, list[float]], torch.Tensor]:
    """Returns accuracies of each setting, and the prompts of the first."""
    backbone = load_backbone("vit_micro_glyphs", weights=True, device=device, dtype=use_precision(precision, device))
    images = torch.from_numpy(drawn(indices))
    support, query = images[:, :, :SHOT].flatten(1, 2), images[:, :, SHOT:].flatten(1, 2)
    labels = torch.arange(WAY, device=device).expand(len(indices), WAY)
    episodes = EpisodeBatch(
        indices=list(indices),
        support_images=support,
        support=freeze_episodes(backbone, support, 2),
        labels=labels.repeat_interleave(SHOT, 1),
        query=freeze_episodes(backbone, query, 2),
        query_labels=labels.repeat_interleave(QUERY, 1),
    )
    outcomes = solve(backbone, episodes, list(SETTINGS.values()), 0)
    mask = prompts_of_all(backbone, episodes, [SETTINGS["lora"]])[0].mask
    use_precision("float32", device)
    accuracies = {name: [float(one.accuracy or 0.0) for one in of] for name, of in zip(SETTINGS, outcomes, strict=True)}
    return accuracies, mask.cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--device", default=best_device())
    parser.add_argument("--precision", default="bfloat16", help="what is compared with float32")
    arguments = parser.parse_args()
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
    changed = kept = 0
    for first in range(0, arguments.episodes, TOGETHER):
        indices = range(first, min(first + TOGETHER, arguments.episodes))
        (exact, wanted), (rounded, found) = (
            solved(precision, indices, arguments.device) for precision in ("float32", arguments.precision)
        )
        changed, kept = changed + int((wanted & ~found).sum()), kept + int((wanted & found).sum())
        for name in SETTINGS:
            pairs[name] += zip(exact[name], rounded[name], strict=True)
    result = {"episodes": arguments.episodes, "prompt_patches_changed": changed / (changed + kept)}
    print(f"{100 * changed / (changed + kept):.2f} % of {changed + kept} prompt patches are others")
    for name, both in pairs.items():
        before, after = 100 * np.array(both).T
        half = float(stats.t.ppf(0.975, len(before) - 1) * stats.sem(after - before))
        result[name] = {"float32": before.mean(), "difference": (after - before).mean(), "half_95": half}
        print(
            f"{name}: {before.mean():.2f} % in float32, {arguments.precision} {(after - before).mean():+.2f} +- "
            f"{half:.2f} points, paired"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
