import pytest
from PIL import Image

from fpt.glyphs.scenes import scene
from pipeline.backbones import BackboneName
from pipeline.config import plain_run
from pipeline.data.store import Sample, pack
from sweeps.report.first_episode import draw_first_episode, first_episode, pictured_run
from tests.sweeps.findings import SWEEP

WITHOUT = {"alpha": 0.0, "lr": 0.02}
STEERED = {"alpha": 0.5, "lr": 0.02}


def naming(**first):
    return SWEEP.model_copy(update={"search": SWEEP.search.model_copy(update={"first": first})})


@pytest.mark.parametrize(
    ("sweep", "winner", "named", "alpha", "lr"),
    [
        (naming(plain={"alpha": 0}), WITHOUT, None, 0, 0.02),
        (naming(plain={"alpha": 0}, named={"alpha": 3}), WITHOUT, "named", 3, plain_run(SWEEP).solver.lr),
        (SWEEP, STEERED, None, 0.5, 0.02),
        (SWEEP.model_copy(update={"search": None}), WITHOUT, None, 0, 0.02),
    ],
)
def test_the_pictured_episode_has_prompts_where_any_setting_does(sweep, winner, named, alpha, lr):
    name, run = pictured_run(sweep, winner)
    assert name == named
    assert (run.prompts.alpha, run.solver.lr, run.episodes) == (alpha, lr, sweep.episodes)


def test_the_episode_is_drawn_whole_and_said_in_words(tmp_path):
    images = [
        Sample("novel", name, one.image, one.mask)
        for way, name in enumerate("abc")
        for one in (scene("novel", way, i) for i in range(4))
    ]
    store = pack(iter(images), tmp_path / "scenes.arrow")
    sweep = SWEEP.model_copy(update={"backbone": BackboneName(precision="float32")})
    folder = tmp_path / "sweeps" / "abc"
    picture = draw_first_episode(sweep, STEERED, store, folder)
    assert picture == first_episode(sweep, STEERED, folder)
    assert picture.alt.startswith("The first unseen episode with lora · lambda 1 · alpha 0.5 ·")
    assert list(folder.parent.iterdir()) == [folder]
    assert list(folder.iterdir()) == [picture.path]
    with Image.open(picture.path) as image:
        assert image.width == 1800


def test_the_pictured_episode_is_on_the_winners_backbone():
    named = naming(
        there={"alpha": 3, "backbone": "vit_other"}, here={"alpha": 2}, same={"alpha": 4, "backbone": "vit_x"}
    )
    name, run = pictured_run(named, {**WITHOUT, "backbone": "vit_x"})
    assert (name, run.backbone.name, run.prompts.alpha) == ("here", "vit_x", 2)
    name, run = pictured_run(named, {**STEERED, "backbone": "vit_x"})
    assert (name, run.prompts.alpha) == (None, 0.5)


def test_whose_prompts_are_shown_is_said_where_the_winner_has_none(tmp_path):
    named = naming(**{"plain": {"alpha": 0}, "paper defaults": {"alpha": 3}})
    said = "The first unseen episode with paper defaults, as the winner has no prompts: lora · lambda 1 · alpha 3 ·"
    assert first_episode(named, WITHOUT, tmp_path).alt.startswith(said)
    assert "as the winner has no prompts" not in first_episode(named, STEERED, tmp_path).alt
