import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from fpt.backbones.backbone import Backbone
from fpt.problems.keeping import scores_of
from pipeline.config import with_hyper_parameters
from pipeline.data.sampler import sampler_of
from pipeline.data.store import ImageStore
from pipeline.orders import WorkOrder
from pipeline.workers.worker import Worker, backbone_of
from sweeps.report import mistaken as pictures
from sweeps.report.episode import solved_episode
from sweeps.report.mistaken import picture_of_mistakes, solved_mistakes
from sweeps.verdict.mistakes import Mistake, mistakes_of
from tests.fpt.prompts.test_pyramids import swin


@pytest.fixture(scope="module")
def mistakes(run, store_path, tmp_path_factory):
    """What a worker's scores tell of some episodes."""
    with_scores = run.model_copy(update={"episodes": run.episodes.model_copy(update={"scores": True})})
    worker = Worker("worker-0", with_scores, store_path, str(tmp_path_factory.mktemp("ledger")))
    rows = worker.solve(WorkOrder("order", {"hash": with_scores}, tuple(range(12))), 1)
    sampler = sampler_of(ImageStore(store_path).classes("novel"), run.episodes, "refuse")
    scores = np.stack([scores_of(row["scores"], 3)[:9] for row in rows])
    drawn = np.stack([sampler.classes_of(row["episode"]) for row in rows])
    return mistakes_of(sampler.names, range(12), drawn, softmax(scores, -1)).surest[:4]


def solved(run, store_path, mistakes):
    return solved_mistakes(run, backbone_of(run, "cpu")[1], store_path, mistakes)


def test_a_mistake_is_what_its_whole_episode_has_there(run, store_path, mistakes):
    assert len(mistakes) > 1
    for one, shown in zip(mistakes, solved(run, store_path, mistakes), strict=True):
        whole = solved_episode(run, store_path, one.episode)
        true, held = whole.classes.index(one.true), whole.classes.index(one.held)
        place = 3 * true + one.query
        assert whole.predicted[place] == held
        assert (shown.query == whole.query.images[place]).all()
        np.testing.assert_allclose(shown.before, whole.query.before[place].numpy(), atol=1e-5)
        np.testing.assert_allclose(shown.after, whole.query.after[place].numpy(), atol=1e-4)
        assert (shown.key == whole.query.key[place].numpy()).all()
        for support, label in ((shown.of_true, true), (shown.of_held, held)):
            own = slice(2 * label, 2 * label + 2)
            assert (support.images == whole.support.images[own]).all()
            assert (support.prompts == whole.prompts[own].numpy()).all()
            assert (support.key == whole.support.key[own].numpy()).all()
        assert (shown.true, shown.held, shown.probability) == (one.true, one.held, one.probability)
        assert shown.where == f"episode {one.episode}"


def test_no_more_than_two_support_images_of_a_class_are_shown(run, store_path):
    episodes = run.episodes.model_copy(update={"shot": 4, "query": 2})
    (shown,) = solved(run.model_copy(update={"episodes": episodes}), store_path, [Mistake(0, 1, "h", "$", 0.5)])
    assert len(shown.of_true.images) == len(shown.of_held.images) == 2


@pytest.mark.parametrize("values", [{}, {"alpha": 0}, {"name": "protonet"}], ids=repr)
def test_any_winner_is_drawn(run, store_path, mistakes, tmp_path, values):
    chosen = with_hyper_parameters(run, values)
    with_prompts = solved(chosen, store_path, mistakes[:1])[0].of_true.prompts is not None
    assert with_prompts == (values == {})
    path = tmp_path / "new" / "mistakes.png"
    assert picture_of_mistakes(chosen, store_path, mistakes[:2], path, "a setting") == path
    with Image.open(path) as picture:
        assert picture.width == 1800


def test_a_pyramid_has_images_alone(run, store_path, mistakes, tmp_path, monkeypatch):
    pyramid = Backbone(swin(64).float())
    monkeypatch.setattr(pictures, "backbone_of", lambda run, device: ("float32", pyramid))
    chosen = with_hyper_parameters(run, {"patches": 2, "layers": 1, "rows": "patches"})
    (shown,) = solved_mistakes(chosen, pyramid, store_path, mistakes[:1])
    assert (shown.key, shown.of_true.prompts, shown.of_held.key) == (None, None, None)
    picture_of_mistakes(chosen, store_path, mistakes[:1], tmp_path / "it.png", "a setting")
