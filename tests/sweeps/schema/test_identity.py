from sweeps.schema.identity import sweep_identity
from sweeps.schema.loading import load
from tests.sweeps.tiny import CONFIG, TINY

INPUTS = {"dataset_fingerprint": "images", "backbone_fingerprint": "weights", "precision": "float32"}


def tiny(*overrides):
    return load(CONFIG, [*TINY, *overrides])


def test_a_sweep_is_told_from_another_by_what_can_change_its_course():
    def identity(*overrides, **inputs):
        return sweep_identity(tiny(*overrides), {**INPUTS, **inputs})

    same = identity()
    for override in ("compute.workers=1", "compute.order_seconds=9", "home=elsewhere", "tracking_uri=http://host:1"):
        assert identity(override) == same, override
    changed = [
        identity(override)
        for override in (
            "name=other",
            "episodes.seed=1",
            "solver.lr=0.5",
            "search.seed=1",
            "search.trials=5",
            "search.rungs=[2, 5]",
            "search.space.tau.high=2",
            "search.first.paper defaults.alpha=6",
            "final.episodes=7",
            "prompts.rows=all",
        )
    ]
    changed += [identity(**{name: "others"}) for name in ("dataset_fingerprint", "backbone_fingerprint", "precision")]
    assert len({same, *changed}) == 1 + len(changed)


def test_a_sweep_of_before_pictures_could_be_held_out_is_the_same_sweep():
    assert sweep_identity(tiny(), INPUTS) == sweep_identity(tiny("dataset.hold_out=classes"), INPUTS)
    own = ("dataset={source: folder, path: photos}",)
    pictures = sweep_identity(tiny(*own, "dataset.hold_out=pictures"), INPUTS)
    assert pictures != sweep_identity(tiny(*own), INPUTS)
