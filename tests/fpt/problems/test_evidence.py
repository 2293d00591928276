"""Prompts of many settings, their evidence gathered as seldom as it can be."""

from dataclasses import replace

import pytest
import torch

from fpt.problems import evidence
from fpt.problems.evidence import episode_evidence, prompts_of_all
from fpt.problems.problem import Setting
from fpt.solvers import Training

TRAINING = Training(way=3, blocks=2, head="r2d2")
SCALED = Setting("lora", TRAINING, variant="scaled", lam=0.5, patches=4)


def test_evidence_is_gathered_once_for_all_that_share_it(backbone, episodes, monkeypatch):
    gather, gathered = evidence.episode_evidence, []
    monkeypatch.setattr(
        evidence, "episode_evidence", lambda *given: gathered.append(given[2].variant) or gather(*given)
    )
    same = [SCALED, replace(SCALED, lam=3.0), replace(SCALED, patches=9, alpha=0.1), replace(SCALED, variant="paper")]
    others = [replace(SCALED, variant="official"), replace(SCALED, seed=4), replace(SCALED, alpha=0.0)]
    kept = {}
    found = prompts_of_all(backbone, episodes, [*same, *others], kept)
    assert gathered == ["scaled", "official", "scaled"]
    assert len(kept) == 3
    assert [int(prompted.mask[0, 0].sum()) for prompted in found] == [4, 4, 9, 4, 4, 4, 0]
    again = prompts_of_all(backbone, episodes, same, kept)
    assert len(gathered) == 3
    assert all(torch.equal(one.targets[0], other.targets[0]) for one, other in zip(again, found, strict=False))


def test_some_episodes_at_a_time_give_what_each_gives_alone(backbone, episodes, monkeypatch):
    (whole,) = episode_evidence(backbone, episodes, SCALED)
    monkeypatch.setattr(evidence, "IMAGES_A_PASS", 1)
    (alone,) = episode_evidence(backbone, episodes, SCALED)
    torch.testing.assert_close(alone.maps, whole.maps, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone.gradient, whole.gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("variant", "times"), [("paper", 1), ("official", 3)])
def test_only_the_released_code_scores_by_the_head_times_its_factor(variant, times, backbone, episodes):
    """G is linear in the head."""
    once, thrice = (
        episode_evidence(
            backbone, episodes, replace(SCALED, variant=variant, training=replace(TRAINING, head_multiplier=by))
        )
        for by in (1.0, 3.0)
    )
    torch.testing.assert_close(thrice[0].gradient, times * once[0].gradient, rtol=1e-3, atol=1e-6)


def test_true_masks_are_prompts_that_share_their_target(backbone, episodes):
    (found,) = prompts_of_all(backbone, episodes, [replace(SCALED, variant="masks")])
    assert torch.equal(found.mask, episodes.support_key)
    counts = episodes.support_key.sum(-1, keepdim=True)
    torch.testing.assert_close(found.targets[0] * counts, episodes.support_key.float())
