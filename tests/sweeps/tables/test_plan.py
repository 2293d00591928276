"""Which runs a table compares, and where."""

from fpt.registry import SOLVERS
from sweeps.schema.loading import load
from sweeps.table import check_table
from sweeps.tables.plan import pairs_of, places_of
from tests.sweeps.tables.examples import OF_BACKBONES, OF_TWO, RUN, tiny
from tests.sweeps.tiny import CONFIG

SHIPPED = CONFIG.with_name("glyphs-table.yaml")


def pairs_at(sweep):
    """Returns the pairs at each place, by backbone and data set."""
    return {
        (place.backbone, place.dataset): pairs_of(place, sweep.table) for place in places_of(sweep, check_table(sweep))
    }


def test_the_shipped_table_has_every_solver_at_both_shots():
    sweep = load(SHIPPED, [])
    (pairs,) = pairs_at(sweep).values()
    assert sorted({pair.runs[0].solver.name for pair in pairs}) == sorted(SOLVERS)
    assert [pair.shot for pair in pairs] == [1] * 11 + [5] * 11
    assert all(pair.episodes >= (200 if SOLVERS[pair.runs[0].solver.name].trained else 400) for pair in pairs)
    searched = load(CONFIG, [])
    assert sweep.episodes.model_copy(update={"count": 0}) == searched.episodes.model_copy(update={"count": 0})
    assert (sweep.dataset, sweep.backbone) == (searched.dataset, searched.backbone)
    assert sweep.prompts.variant == "scaled"  # as README's table was measured
    assert sweep.prompts == searched.prompts.model_copy(update={"variant": "scaled"})


def test_a_solver_is_paired_with_itself_without_prompts():
    changes = (
        "table.without_prompts.lora.lr={1: 0.5, 2: 0.25}",
        "table.at_shot={2: {epochs: 1}}",
        "table.solvers.lora.rank=2",
    )
    (pairs,) = pairs_at(tiny(*changes)).values()
    assert [(pair.label, pair.shot, pair.episodes, len(pair.runs)) for pair in pairs] == [
        ("knn", 1, 3, 1),
        ("lora", 1, 2, 2),
        ("knn", 2, 3, 1),
        ("lora", 2, 2, 2),
    ]
    without, prompted = pairs[1].runs
    assert (without.prompts.alpha, without.solver.lr) == (0, 0.5)
    assert prompted == RUN.model_copy(update={"solver": RUN.solver.model_copy(update={"rank": 2})})
    assert [(run.solver.epochs, run.solver.lr) for run in pairs[3].runs] == [(1, 0.25), (1, 0.01)]


def test_labels_are_free_and_prompts_may_be_left_out():
    sweep = tiny("table.solvers={LoRA 8: {name: lora, rank: 8, alpha: 0}, linear probe: {}}", "table.shots=[1]")
    ((lora, probe),) = pairs_at(sweep).values()
    assert (lora.label, len(lora.runs), lora.runs[0].solver.rank) == ("LoRA 8", 1, 8)
    assert (probe.runs[0].solver.name, len(probe.runs), probe.episodes) == ("linear_probe", 1, 2)


def test_without_any_the_run_s_own_data_set_and_backbone_are_named_by_what_they_are():
    sweep = tiny()
    (place,) = places_of(sweep, sweep.table)
    assert (place.backbone, place.dataset, place.run, place.name) == ("vit_micro_glyphs", "glyphs", RUN, "")


def test_places_are_the_run_with_fields_of_a_data_set_and_a_backbone():
    sweep = tiny(OF_TWO, OF_BACKBONES)
    places = places_of(sweep, sweep.table)
    assert [(place.backbone, place.dataset) for place in places] == [
        ("trained", "crowded"),
        ("trained", "alone"),
        ("random", "crowded"),
        ("random", "alone"),
    ]
    assert [(place.run.backbone.weights, place.run.dataset.distractors) for place in places] == [
        (True, 2),
        (True, 0),
        (False, 2),
        (False, 0),
    ]
    assert all(place.run.dataset.images_per_class == 8 for place in places)
    assert places[0].run == RUN
    assert places[3].name == "table.datasets.alone, table.backbones.random"
    for pairs, place in zip(pairs_at(sweep).values(), places, strict=True):
        assert all(run.dataset == place.run.dataset for pair in pairs for run in pair.runs)


def lr_and_epochs(sweep, label="lora"):
    """With prompts, at each place and shot."""
    return {
        (*place, pair.shot): (pair.runs[-1].solver.lr, pair.runs[-1].solver.epochs)
        for place, pairs in pairs_at(sweep).items()
        for pair in pairs
        if pair.label == label
    }


def test_a_data_set_s_fields_win_over_a_backbone_s_and_those_over_a_shot_s():
    changes = [
        "table.at_shot={2: {lr: 0.1, epochs: 7}}",
        "table.at_backbone={random: {lr: 0.2, epochs: 8}}",
        "table.at_dataset={alone: {lr: 0.3}}",
    ]
    assert lr_and_epochs(tiny(OF_TWO, OF_BACKBONES, *changes)) == {
        ("trained", "crowded", 1): (0.01, 2),
        ("trained", "crowded", 2): (0.1, 7),
        ("trained", "alone", 1): (0.3, 2),
        ("trained", "alone", 2): (0.3, 7),
        ("random", "crowded", 1): (0.2, 8),
        ("random", "crowded", 2): (0.2, 8),
        ("random", "alone", 1): (0.3, 8),
        ("random", "alone", 2): (0.3, 8),
    }
    own = lr_and_epochs(tiny(OF_TWO, OF_BACKBONES, *changes, "table.solvers.lora.lr=0.4"))
    assert {lr for lr, _ in own.values()} == {0.4}


def test_a_value_may_be_one_for_each_data_set_shot_or_backbone():
    value = "{crowded: {1: 0.1, 2: 0.2}, alone: {trained: 0.3, random: {1: 0.4, 2: 0.5}}}"
    found = lr_and_epochs(tiny(OF_TWO, OF_BACKBONES, f"table.solvers.lora.lr={value}"))
    assert [lr for lr, _ in found.values()] == [0.1, 0.2, 0.3, 0.3, 0.1, 0.2, 0.4, 0.5]
    default = lr_and_epochs(tiny("table.at_dataset={glyphs: {lr: {1: 0.1, 2: 0.2}}}"))
    assert [lr for lr, _ in default.values()] == [0.1, 0.2]
