import copy

import pytest
import torch

from fpt import families
from fpt.backbones.backbone import Backbone
from fpt.families import Family, as_markdown, examine


def test_a_columnar_family_is_run():
    assert examine("test_vit", 64) == Family("test_vit", 64, ("columnar", "6", "1", "4 × 4"), ("yes", "yes", "yes"))


def test_branches_that_start_switched_off_are_switched_on(small_model):
    model = copy.deepcopy(small_model("layer scale, registers"))
    scales = [weight.fill_(1e-5) for name, weight in model.named_parameters() if name.endswith("gamma")]
    kept = model.norm.weight.clone()
    backbone = families._awake(Backbone(model))
    assert len(scales) == 4
    assert all((scale == 1).all() for scale in scales)
    assert torch.equal(backbone.model.norm.weight, kept)
    assert families._awake(backbone) is backbone


def test_what_is_refused_says_why():
    refused = examine("test_resnet")
    assert refused.shape is None
    (why,) = refused.tried
    assert why.startswith("backbone must")


def test_what_is_not_finite_does_not_work(monkeypatch):
    monkeypatch.setattr(families, "_logits", lambda *_, **__: families._finite(torch.tensor([float("nan")])))
    assert examine("test_vit", 64).tried == ("yes", *["no: results must be finite but are not"] * 2)


def test_prompts_that_change_nothing_do_not_work(monkeypatch):
    monkeypatch.setattr(families, "_logits", lambda *_, **__: torch.zeros(2))
    assert examine("test_vit", 64).tried == ("yes", "no: prompts must change the logits but did not", "yes")


@pytest.mark.parametrize(("refusal", "said"), [("lambda must be 0 here", "lambda 0"), ("other", "no: other")])
def test_a_pyramid_without_gradients_is_run_without(monkeypatch, refusal, said):
    def prompts(backbone, episode, lam):
        if lam:
            raise ValueError(refusal)

    monkeypatch.setattr(families, "_prompts", prompts)
    assert examine("test_vit", 64).tried[0] == said


def test_the_table_by_hand():
    found = [
        Family("a", 64, ("columnar", "2", "1", "2 × 2"), ("yes", "no: it fails", "yes")),
        Family("b", 0, None, ("backbone must be a transformer",)),
        Family("c", 32, ("pyramid", "4", "0, 0", "4 × 16, 1 × 16"), ("lambda 0", "yes", "yes")),
    ]
    lines = as_markdown(found).splitlines()
    assert lines[lines.index("") + 1].startswith("Written by `python -m fpt.families")
    assert [line for line in lines if line.startswith("|")] == [
        "| model | pixels | kind | layers | prefix | patches | prompts | LoRA with prompts | linear probe |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `a` | 64 | columnar | 2 | 1 | 2 × 2 | yes | no: it fails | yes |",
        "| `c` | 32 | pyramid | 4 | 0, 0 | 4 × 16, 1 × 16 | lambda 0 | yes | yes |",
        "| model | why |",
        "| --- | --- |",
        "| `b` | backbone must be a transformer |",
    ]
    assert "Refused" not in as_markdown(found[:1])
