import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from fpt.backbones.backbone import Backbone
from fpt.figures.episode import ATTENTION
from fpt.problems.evidence import prompts_of_all
from fpt.problems.solving import stack_of
from fpt.prompts.localisation import precision
from fpt.solvers import solver_named
from pipeline.config import with_hyper_parameters
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.orders import WorkOrder
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import Worker, backbone_of, episode_tensors, setting
from sweeps.report import episode as pictures
from sweeps.report.episode import (
    as_json,
    draw_solved,
    parts_of,
    picture_of_episode,
    solved_episode,
    spread,
    title_of,
)
from tests.fpt.prompts.test_pyramids import swin
from tests.sweeps.report.conftest import packed

EPISODE = 3


@pytest.fixture(scope="module")
def solved(run, store_path):
    return solved_episode(run, store_path, EPISODE)


def row_of(run, store_path, home, index=EPISODE):
    (row,) = Worker("worker-0", run, store_path, str(home)).solve(WorkOrder("order", {"hash": run}, (index,)), 1)
    return row


@pytest.mark.parametrize(
    "values",
    [
        *({"name": solver} for solver in ("lora", "vpt", "ssf", "full")),
        {"name": "ssf", "blocks": 6, "embeddings": True},
    ],
    ids=repr,
)
def test_figures_are_those_of_the_ledger(run, store_path, tmp_path, values):
    chosen = with_hyper_parameters(run, values)
    row = row_of(chosen, store_path, tmp_path / "ledger")
    told = as_json(solved_episode(chosen, store_path, EPISODE), tmp_path / "it.png")
    for name in ("attention_on_key_before", "attention_on_key_after", "prompt_precision"):
        assert told[name] == pytest.approx(row[name], rel=1e-4)
    right = [true == told_as for true, told_as in zip(told["classes"], told["predictions"], strict=True)]
    assert told["accuracy"] == row["accuracy"] == sum(right) / 9
    labels = list(dict.fromkeys(told["classes"]))
    assert [sum(right[3 * way : 3 * way + 3]) for way in range(len(labels))] == list(row["class_hits"])
    assert json.loads(json.dumps(told))["episode"] == EPISODE


def test_percentages_below_all_queries_have_the_mean_that_is_told(run, store_path, tmp_path, solved):
    row = row_of(run, store_path, tmp_path / "ledger")
    (query,) = parts_of(solved, "query", most=9)
    for when, name in ((query.before, "before"), (query.after, "after")):
        each = [attention[key].sum() for attention, key in zip(when, query.key, strict=True)]
        assert sum(each) / 9 == pytest.approx(row[f"attention_on_key_{name}"], rel=1e-4)
    before, after = (100 * row[f"attention_on_key_{name}"] for name in ("before", "after"))
    assert f"{before:.0f} → {after:.0f} % of [CLS] attention on key" in query.heading


def test_predictions_and_attention_are_the_solvers_own(run, store_path, tmp_path, solved):
    store, (_, backbone), chosen = ImageStore(store_path), backbone_of(run, "cpu"), setting(run)
    episode = sampler_of(store.classes("novel"), run.episodes, "refuse")[EPISODE]
    episodes = episode_tensors(backbone, store, FrozenImages(backbone, store, 64), [episode], 2)
    prompts = prompts_of_all(backbone, episodes, [chosen])
    solution = solver_named("lora")(backbone, stack_of(episodes, [chosen], prompts, [(0, 0)]), chosen.training)
    support, query = parts_of(solved, most=100)
    names = {int(row): name for name, rows in store.classes("novel").items() for row in rows}
    classes = [names[int(row)] for row in episode.support[::2]]
    assert query.predicted == [classes[label] for label in solution.scores[0].argmax(-1).tolist()]
    assert query.names == [names[int(row)] for row in episode.query]
    assert support.names == [names[int(row)] for row in episode.support]
    np.testing.assert_allclose(query.after, solution.query_attention[0].numpy(), atol=1e-5)
    assert (support.images == store.images(episode.support)).all()
    assert (query.images == store.images(episode.query)).all()
    assert (support.prompts == prompts[0].mask[0].numpy()).all()
    assert (support.prompts.sum(1) == 3).all()
    assert (support.predicted, query.prompts) == (None, None)
    assert as_json(solved, tmp_path)["prompt_precision"] == precision(prompts[0].mask[0], episodes.support_key[0])


def test_attention_before_is_that_of_the_frozen_backbone(run, store_path, solved):
    without_steps = solved_episode(with_hyper_parameters(run, {"epochs": 0}), store_path, EPISODE)
    for kind in ("support", "query"):
        own = getattr(without_steps, kind)
        torch.testing.assert_close(own.after, own.before, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own.before, getattr(solved, kind).before)
    assert without_steps.accuracy == without_steps.start == solved.start


def test_the_fewest_patches_are_counted(solved):
    for kind in (solved.support, solved.query):
        for maps, told in zip((kind.before, kind.after), kind.cover(), strict=True):
            counts = [next(n for n in range(65) if np.sort(row)[::-1][:n].sum() >= 0.95) for row in maps.numpy()]
            assert told == pytest.approx(sum(counts) / len(counts))


def test_images_are_spread_over_classes():
    labels = np.arange(20).repeat(5)
    assert spread(labels, 8).tolist() == [0, 5, 10, 15, 20, 25, 30, 35]
    assert spread(labels, 22).tolist()[:5] == [0, 1, 5, 6, 10]
    assert spread(np.arange(2), 8).tolist() == [0, 1]
    assert spread(np.arange(2).repeat(15), 8).tolist() == [0, 1, 2, 3, 15, 16, 17, 18]


@pytest.mark.parametrize(("images", "expected"), [("support", ["S"]), ("query", ["Q"]), ("both", ["S", "Q"])])
def test_kinds_of_images(solved, images, expected):
    parts = parts_of(solved, images, 2)
    assert [part.heading[0] for part in parts] == expected
    assert [len(part.images) for part in parts] == [2] * len(expected)
    assert (solved.grid, solved.looking) == ((8, 8), "[CLS] attention")
    title, line = title_of(solved)
    accuracy, before = 100 * solved.accuracy, 100 * solved.start
    told = f"accuracy {accuracy:.0f} % ({before:.0f} % before, r2d2 on frozen features)"
    assert title == f"run: episode 3 of novel, 3-way 2-shot: {told}"
    assert line == "lora · lambda 1 · alpha 1 · tau 1 · P 3 · lr 0.03"


@pytest.mark.parametrize("attention", ATTENTION)
def test_each_look_at_attention_is_a_picture_of_its_own(solved, tmp_path, attention):
    draw_solved(solved, tmp_path / "map.png", images="query", most=2)
    drawn = draw_solved(solved, tmp_path / "it.png", attention, "query", 2)
    assert (drawn.read_bytes() == (tmp_path / "map.png").read_bytes()) == (attention == "map")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"alpha": 0},
        *(pytest.param({"name": name}, marks=pytest.mark.slow) for name in ("protonet", "linear_probe")),
    ],
)
@pytest.mark.parametrize("with_masks", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_sweep_draws_any_winner(run, tmp_path, values, with_masks):
    chosen = with_hyper_parameters(run, values)
    path = tmp_path / "folder" / "episode-0.png"
    assert picture_of_episode(chosen, packed(tmp_path, with_masks), 0, path) == path
    with Image.open(path) as picture:
        assert picture.width == 1800


@pytest.mark.parametrize(("way", "shot"), [(2, 1), pytest.param(4, 5, marks=pytest.mark.slow)])
def test_the_same_episode_gives_the_same_bytes(run, store_path, tmp_path, way, shot):
    episodes = run.episodes.model_copy(update={"way": way, "shot": shot, "query": 1})
    chosen = run.model_copy(update={"episodes": episodes})
    first, second = (picture_of_episode(chosen, store_path, 0, tmp_path / name) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()


def test_a_pyramid_has_images_and_predictions_alone(run, store_path, tmp_path, monkeypatch):
    pyramid = Backbone(swin(64).float())
    monkeypatch.setattr(pictures, "backbone_of", lambda run, device: ("float32", pyramid))
    chosen = with_hyper_parameters(run, {"patches": 2, "layers": 1, "rows": "patches"})
    solved = solved_episode(chosen, store_path, 0)
    draw_solved(solved, tmp_path / "it.png")
    support, query = parts_of(solved)
    assert (solved.grid, support.prompts, support.key, query.key) == ((0, 0), None, None, None)
    assert query.heading == "Query images, 8 of 9"
    told = as_json(solved, tmp_path / "it.png")
    assert (told["attention_on_key_after"], told["patches_of_95_percent_after"]) == (None, None)
    assert told["accuracy"] is not None


def test_scores_that_are_not_finite_are_told(run, store_path, tmp_path):
    solved = solved_episode(with_hyper_parameters(run, {"lr": 1e30}), store_path, 0)
    assert solved.accuracy is None
    assert title_of(solved)[0].endswith(
        f": scores are not finite ({100 * solved.start:.0f} % before, r2d2 on frozen features)"
    )
    draw_solved(solved, tmp_path / "it.png", "both")
    told = as_json(solved, tmp_path / "it.png")
    assert not any(isinstance(value, float) and math.isnan(value) for value in told.values())
