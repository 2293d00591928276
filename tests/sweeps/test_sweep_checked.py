"""What is known of a sweep before it runs, and what is said of it when it has."""

import os
from pathlib import Path

import pytest

from pipeline.storage.locking import held_alone
from sweeps.report.text import as_markdown, verdict
from sweeps.schema.identity import sweep_identity
from sweeps.schema.loading import load
from sweeps.schema.space import Range
from sweeps.search.plan import plan_of
from sweeps.sweep import check_sweep, description, planned_problems, run_sweep, stopping_rule, with_shares_in_patches
from tests.sweeps.findings import SWEEP, finding
from tests.sweeps.tiny import CONFIG, TINY

YARDSTICKS = (18 * 2 + 9 * 2) + 6 * 4  # 16 rates, none and the twin, halved; six frozen classifiers


def tiny(*overrides):
    return load(CONFIG, [*TINY, *overrides])


def planned(sweep):
    return planned_problems(sweep, sweep.search, plan_of(sweep.search))


def test_planned_problems_by_hand():
    larger = tiny("search.trials=16", "search.rungs=[16, 32, 64]", "final.episodes=200")
    # 16 looks; a race of two and two that are named, halved twice; 16 rates, none and the twin, halved;
    # six frozen classifiers; best, baseline, frozen, one named, masks, the other prompts, best together; two again;
    # confidence twice
    yardsticks = 18 * 16 + 9 * 16 + 5 * 32 + 6 * 64
    assert planned(larger) == 16 + (4 * 16 + 2 * 16 + 1 * 32) + yardsticks + (7 + 2 + 2) * 200
    many = tiny("final.episodes=400")  # confidence takes 300 at most
    assert planned(many) - planned(tiny()) == (7 + 2) * (400 - 6) + 2 * (300 - 6)
    alone = ("final.masks=false", "final.again=false", "final.ensemble=0", "final.confidence=0")
    odd = tiny("search.trials=9", "search.finalists=3", "search.keep=0.3", *alone)
    # a race of five, of which two go on; best, baseline, frozen, one named
    assert planned(odd) == 9 + (5 * 2 + 2 * 2) + YARDSTICKS + 4 * 6
    race = tiny("search.stop=racing", "search.trials=null", "search.problems=40")
    assert planned(race) == 40 + YARDSTICKS + (7 + 2 + 2) * 6  # of which the race stops some


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("search=null", "search must be in CONFIG for a sweep but is missing"),
        ("search.split=novel", "search.split must differ from episodes.split, .* but both are 'novel'"),
        ("search.split=base", "search.split must be one of validation, novel but got 'base'"),
        ("episodes.way=198", "episodes.way must be at most 197, the classes of split validation, but got 198"),
        ("episodes.query=8", r"shot \+ episodes.query must be at most 8, .* but got 1 \+ 8"),
        (
            "search.space.patches.high=65",
            r"search\.space\.patches: prompts\.patches must be at most 64, the patches of vit_micro_glyphs, but got 65"
            r"; \{low: 0\.02, high: 0\.2, share: true\} stands for shares of them",
        ),
        ("search.space.patches={choices: [4, 400]}", r"search\.space\.patches: .* but got 400; .* shares of them"),
        (
            "search.space.patches={lora: {low: 4, high: 80, integer: true}}",
            r"search\.space\.patches: .* but got 80; .*",
        ),
        ("search.space.blocks={low: 2, high: 9, integer: true}", r"search\.space\.blocks: .* at most 6, .* but got 9"),
        ("search.first.mine={patches: 70}", r"search\.first\.mine: prompts\.patches must be at most 64, .* but got 70"),
        (
            "search.space.backbone={choices: [vit_micro_glyphs, vit_of_nowhere]}",
            r"search\.space\.backbone, vit_of_nowhere: backbone\.name must be a timm model .* but got 'vit_of_nowhere'",
        ),
        (
            "search.space.backbone={choices: [vit_micro_glyphs, /w/mine.safetensors]}",
            r"search\.space\.backbone, /w/mine\.safetensors: .*; backbones: \{LABEL: .* gives a file a name",
        ),
        (
            "search.space.backbone={choices: [vit_micro_glyphs, vit_tiny_patch16_224]}",
            r"search\.space\.backbone, vit_tiny_patch16_224: backbone\.image_size must be 64, the side of sce.*",
        ),
        ("tracking_uri=ftp://x/y", "tracking_uri must be one that MLflow can reach but 'ftp://x/y' failed: .*"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_written(tmp_path, override, sentence):
    home = tmp_path / "home"
    with pytest.raises(ValueError, match=f"{sentence}$"):
        check_sweep(tiny(f"home={home}", override))
    assert list(tmp_path.iterdir()) == []


SMALL = "backbones={small: {name: vit_tiny_patch16_224, image_size: 64, weights: false}}"
BOTH = "search.space.backbone={choices: [vit_micro_glyphs, small]}"


def test_backbones_are_checked_one_by_one():
    """The smaller grid, of 4 x 4 patches, limits what may be proposed, and shares are of it."""
    sweep = tiny(SMALL, BOTH)
    assert check_sweep(sweep) == sweep.search
    said = (
        r"^search\.space\.backbone, small: search\.space\.patches: prompts\.patches must be at most 16, the patches of"
    )
    with pytest.raises(ValueError, match=said):
        check_sweep(tiny(SMALL, BOTH, "search.space.patches.high=17"))
    shared = with_shares_in_patches(tiny(SMALL, BOTH, "search.space.patches={low: 0.1, high: 0.5, share: true}"))
    assert shared.search.space["patches"] == Range(low=2, high=8, integer=True)
    with pytest.raises(ValueError, match=r"small: search\.first\.mine: prompts\.patches must be at most 16"):
        check_sweep(tiny(SMALL, BOTH, "search.first.mine={patches: 20}"))
    assert check_sweep(tiny(SMALL, BOTH, "search.first.mine={patches: 20, backbone: vit_micro_glyphs}"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["backbones={mine: {size: 3}}"],
            r"backbones\.mine: size is not a field; did you mean image_size\?",
        ),
        (
            ["backbones={mine: {image_size: -3}}"],
            r"backbones\.mine: image_size must be greater than or equal to 1 but got -3",
        ),
        (
            ["backbones={same: {weights: true}}", "search.space.backbone={choices: [vit_micro_glyphs, same]}"],
            r"search\.space\.backbone must hold different backbones but vit_micro_glyphs and same are the same one",
        ),
        (
            ["search.space.backbone={low: 1, high: 3}"],
            r"search\.space\.backbone must hold choices, names of timm models or labels of `backbones`, but holds .*",
        ),
        (
            ["backbone.weights=/w/a.pt", "search.space.backbone={choices: [vit_x, vit_y]}"],
            r"backbone\.weights must be left out where search\.space\.backbone holds other models alone, vit_x, .*",
        ),
        (
            [BOTH, SMALL, "search.first.mine={backbone: vit_x}"],
            r"search\.first\.mine\.backbone must be one of vit_micro_glyphs, small, which search\.space .* 'vit_x'",
        ),
    ],
)
def test_what_is_said_of_backbones_is_read_strictly(overrides, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        tiny(*overrides)


def test_what_is_right_passes_and_writes_nothing(tmp_path):
    sweep = tiny(f"home={tmp_path / 'home'}")
    assert check_sweep(sweep) == sweep.search
    assert list(tmp_path.iterdir()) == []


def test_the_ends_of_every_range_are_checked_together():
    sweep = tiny().model_copy(
        update={"search": tiny().search.model_copy(update={"space": {"blocks": blocks_up_to(7)}})}
    )
    with pytest.raises(ValueError, match=r"solver\.blocks must be at most 6"):
        check_sweep(sweep)


def blocks_up_to(high):
    return Range(low=2, high=high, integer=True)


def test_a_search_stops_trials_as_it_is_told():
    better = {"0.0": [0.9, 0.8, 0.9, 0.7] * 2, "0.1": [0.8, 0.8, 0.8, 0.7] * 2, "0.2": [0.1, 0.0, 0.2, 0.1] * 2}
    assert stopping_rule(tiny().search)(1, better) == {"0.0", "0.1"}
    race = tiny("search.stop=racing", "search.delta=0.2").search
    assert stopping_rule(race)(1, better) == {"0.0", "0.1"}
    t_race = tiny("search.stop=t_racing", "search.delta=0.2").search
    assert stopping_rule(t_race)(1, better) == {"0.0"}  # a tenth ahead in every other episode
    # Where more race, each has more rivals to which it may lose by chance.
    many = tiny("search.stop=racing", "search.delta=0.2", "search.trials=10002", "search.finalists=10000").search
    assert stopping_rule(many)(1, better) == set(better)


def test_a_description_begins_with_the_verdict_and_what_its_files_are():
    report = as_markdown(finding(), SWEEP)
    told = description(report, [Path("x/report.md"), Path("x/best.yaml"), Path("x/slices.png")])
    first, second, rest = told.split("\n\n", 2)
    assert first == verdict(finding())
    assert second == (
        "The winner is the artifact `best.yaml`, which runs again with `fpt run best.yaml`; others: report.md, "
        "slices.png."
    )
    assert report == f"{first}\n\n{rest}"


def test_shares_are_of_the_backbone_s_patches():
    """64 of the embedded backbone; of folder.yaml's 196, what it asked for before it had shares, and so it is the same
    sweep.
    """
    sweep = with_shares_in_patches(tiny("search.space.patches={low: 0.02, high: 0.2, log: true, share: true}"))
    asked = tiny("search.space.patches={low: 1, high: 13, log: true, integer: true}")
    assert sweep == asked
    assert check_sweep(sweep) == sweep.search
    assert sweep_identity(sweep, {}) == sweep_identity(asked, {})
    assert with_shares_in_patches(asked) is asked
    folder = load(CONFIG.with_name("folder.yaml"), ["dataset.path=photos"])
    before = load(
        CONFIG.with_name("folder.yaml"),
        ["dataset.path=photos", "search.space.patches={low: 2, high: 40, log: true, integer: true}"],
    )
    assert with_shares_in_patches(folder) == before


def test_shares_for_one_solver_are_ranges_of_its_own():
    sweep = with_shares_in_patches(tiny("search.space.patches={lora: {low: 0.5, high: 1, share: true}}"))
    assert sweep.search.space["patches"] == {"lora": Range(low=32, high=64, integer=True)}


def test_weights_that_cannot_be_had_are_known_before_anything_is_written(tmp_path, monkeypatch):
    def away(run):
        raise ValueError(f"no weights of {run.backbone.name}")

    monkeypatch.setattr("sweeps.sweep.check_weights", away)
    with pytest.raises(ValueError, match=r"^no weights of vit_micro_glyphs$"):
        check_sweep(tiny(f"home={tmp_path / 'home'}"))
    assert list(tmp_path.iterdir()) == []


def test_the_same_sweep_is_refused_while_it_runs_and_before_anything_is_made(tmp_path):
    sweep = tiny(f"home={tmp_path / 'home'}")
    lock = tmp_path / "home" / "locks" / f"sweep-{sweep_identity(sweep, {})}.lock"
    with (
        held_alone(lock, "it"),
        pytest.raises(
            ValueError, match=rf"^this sweep, tiny, runs already: process {os.getpid()} on .* fpt status shows"
        ),
    ):
        run_sweep(sweep, None)
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == [lock]


def test_a_dead_cluster_is_refused_before_anything_is_packed(tmp_path):
    with pytest.raises(
        ValueError, match=r"^--address must be that of a Ray cluster that answers but '127\.0\.0\.1:1' ref"
    ):
        run_sweep(tiny(f"home={tmp_path / 'home'}"), "127.0.0.1:1")
    assert not (tmp_path / "home" / "images").exists()
