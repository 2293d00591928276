"""Run in a process of its own: every solver on the embedded backbone in bfloat16 and in float32. Prints JSON.

AMX instructions are kept out, because a virtual machine may promise them and not let them through.
"""

import json

import numpy as np
import torch

from fpt.backbones.loading import load_backbone
from fpt.glyphs.scenes import scene
from fpt.problems.frozen import freeze_episodes
from fpt.problems.problem import EpisodeBatch, Setting
from fpt.problems.solving import solve
from fpt.registry import SOLVERS
from fpt.solvers import Training

WAY, SHOT, QUERY, EPISODES = 5, 1, 8, 2


def main() -> None:
    torch.set_num_threads(2)
    drawn = [
        [[scene("novel", WAY * episode + way, i) for i in range(SHOT + QUERY)] for way in range(WAY)]
        for episode in range(EPISODES)
    ]
    images = torch.from_numpy(np.stack([[[one.image for one in row] for row in rows] for rows in drawn]))
    support, query = images[:, :, :SHOT].flatten(1, 2), images[:, :, SHOT:].flatten(1, 2)
    labels = torch.arange(WAY).expand(EPISODES, WAY)
    found: dict[str, dict[str, list[float]]] = {}
    for kind in (torch.float32, torch.bfloat16):
        backbone = load_backbone("vit_micro_glyphs", weights=True, dtype=kind)
        episodes = EpisodeBatch(
            indices=list(range(EPISODES)),
            support_images=support,
            support=freeze_episodes(backbone, support, 2),
            labels=labels.repeat_interleave(SHOT, 1),
            query=freeze_episodes(backbone, query, 2),
            query_labels=labels.repeat_interleave(QUERY, 1),
        )
        assert episodes.query.tokens.dtype == kind
        for solver in SOLVERS:
            training = Training(way=WAY, blocks=2, epochs=3, head="r2d2", temperature=0.1)
            alpha = 0.1 if SOLVERS[solver].steered else 0.0
            setting = Setting(solver, training, variant="scaled", alpha=alpha, patches=3, lr=1e-3)
            outcomes = solve(backbone, episodes, [setting], 3)[0]
            assert all(outcome.logits.dtype in (torch.float32, torch.float64) for outcome in outcomes)
            predictions = torch.cat([outcome.logits.argmax(-1) for outcome in outcomes])
            found.setdefault(solver, {})[str(kind)] = predictions.tolist()
    same = {solver: float(np.mean(np.equal(*of.values()))) for solver, of in found.items()}
    print(json.dumps(same))


if __name__ == "__main__":
    main()
