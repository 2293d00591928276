import re

import pytest

from tests.sweeps.tables.examples import OF_BACKBONES, OF_TWO, tiny

MISTAKES = [
    ("table.shotz=[1]", "table.shotz is not a field; did you mean table.shots?"),
    ("table.episodes.closed=1", "table.episodes.closed is not a field; did you mean table.episodes.closed_form?"),
    ("table.shots=[]", "table: shots must hold different numbers but got []"),
    ("table.shots=[1, 1]", "table: shots must hold different numbers but got [1, 1]"),
    ("table.solvers={}", "table: solvers must name at least one but got {}"),
    ("table.solvers.knn=1", "table.solvers.knn must be a valid dictionary but got 1"),
    ("table.solvers.lora.lr=0", "table.solvers.lora: solver.lr must be greater than 0 but got 0"),
    (
        "table.solvers.lora.rnk=1",
        "table.solvers.lora: rnk is not a field of prompts or solver; did you mean rank?",
    ),
    ("table.solvers.lora.lr={1: 0.5}", "table.solvers.lora: lr must have a value for shot 2 but has {1: 0.5}"),
    ("table.without_prompts.ssf={lr: 1}", "table: without_prompts must name one of knn, lora but got 'ssf'"),
    ("table.without_prompts.lora={lr: -1}", "table.without_prompts.lora: solver.lr must be greater than 0 but got -1"),
    (
        "table.at_shot={one: {lr: 1}}",
        "table.at_shot.one.[key] must be a valid integer, unable to parse string as an integer but got 'one'",
    ),
    ("table.at_shot={2: {epochs: -1}}", "table.at_shot.2: solver.epochs must be greater than or equal to 0 but got -1"),
    ("table.datasets=[cub]", "table.datasets must be a valid dictionary but got ['cub']"),
    (
        "table.datasets.alone.distrctors=0",
        "table.datasets.alone: dataset.distrctors is not a field; did you mean dataset.distractors?",
    ),
    (
        "table.datasets.alone.distractors=7",
        "table.datasets.alone: dataset.distractors must be less than or equal to 6 but got 7",
    ),
    (
        "table.datasets.birds={source: cub}",
        "table.datasets.birds: dataset: path must say where the images of source cub are but is missing",
    ),
    (
        "table.datasets.mean={}",
        "table: datasets must have labels other than mean, which is the average's, but got 'mean'",
    ),
    (
        "table.backbones.random.wights=false",
        "table.backbones.random: backbone.wights is not a field; did you mean backbone.weights?",
    ),
    ("table.backbones.alone={}", "table: backbones must have labels that no data set has but got 'alone'"),
    ("table.at_dataset={glyphs: {lr: 1}}", "table.at_dataset must name one of crowded, alone but got 'glyphs'"),
    ("table.at_dataset={alone: {lr: 0}}", "table.at_dataset.alone: solver.lr must be greater than 0 but got 0"),
    ("table.at_backbone={vit: {lr: 1}}", "table.at_backbone must name one of trained, random but got 'vit'"),
    (
        "table.at_backbone={random: {blocks: 1}}",
        "table.at_backbone.random: prompts.layers must be at most 1, which is solver.blocks, but got 2",
    ),
    (
        "table.solvers.lora.backbone=random",
        "table.solvers.lora: backbone is not a field of prompts or solver; table.backbones holds backbones",
    ),
    (
        "table.solvers.lora.lr={crowded: 0.5}",
        "table.solvers.lora: lr must have a value for data set alone but has {'crowded': 0.5}",
    ),
    (
        "table.solvers.lora.lr={crowded: 0.5, alon: 0.5}",
        "table.solvers.lora: lr must have a value for data set alone but has {'crowded': 0.5, 'alon': 0.5}",
    ),
    (
        "table.solvers.lora.lr={trained: 0.5}",
        "table.solvers.lora: lr must have a value for backbone random but has {'trained': 0.5}",
    ),
    (
        "table.solvers.lora.lr={crowded: 0.5, alone: {1: 0.5}}",
        "table.solvers.lora: lr must have a value for shot 2 but has {1: 0.5}",
    ),
]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_a_mistake_is_said_in_one_sentence(override, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tiny(OF_TWO, OF_BACKBONES, override)


def test_an_unknown_solver_is_named():
    with pytest.raises(
        ValueError, match=r"^table\.solvers\.lorra: solver\.name must be one of knn, .* but got .lorra.$"
    ):
        tiny("table.solvers.lorra={}")
