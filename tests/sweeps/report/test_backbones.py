from pipeline.backbones import BackboneName
from sweeps.report.backbones import in_a_note, in_words, tags_of_backbones, told_of
from sweeps.search.record import Backbones, RacedBackbone
from sweeps.statistics.estimates import Estimate

FOUND = Backbones(
    (
        RacedBackbone("far", BackboneName(), "knn", Estimate(0.2, 0.05, 8), Estimate(-0.5, 0.06, 8), False),
        RacedBackbone("near", BackboneName(), "ridge", Estimate(0.69, 0.02, 64), Estimate(-0.01, 0.02, 64)),
        RacedBackbone("best", BackboneName(), "r2d2", Estimate(0.7, 0.02, 64)),
        RacedBackbone("broken", BackboneName(), stays=False),
    ),
    900,
)


def test_the_best_comes_first_and_who_was_left_out_is_said():
    assert in_words(FOUND) == (
        "Frozen classifiers of 4 backbones raced on validation episodes that nothing else sees: "
        "best 70.0 ± 2.0 % (r2d2, 64 episodes); "
        "near 69.0 ± 2.0 % (ridge, 64 episodes, -1.0 ± 2.0 points to the best); "
        "far 20.0 ± 5.0 % (knn, 8 episodes, -50.0 ± 6.0 points to the best), left out; "
        "broken failed, left out. Settings were searched on near, best."
    )
    assert FOUND.best.label == "best"


def test_what_is_said_and_tagged_of_those_that_were_left_out():
    first = {"there": {"lr": 0.1, "backbone": "far"}, "here": {"backbone": "near"}, "anywhere": {"lr": 0.1}}
    assert told_of(first, FOUND) == [in_words(FOUND), "search.first.there is left out with its backbone, far"]
    assert tags_of_backbones(FOUND) == {"backbone": "near, best", "backbones.left_out": "far, broken"}
    assert in_a_note(FOUND) == f"\n\n{in_words(FOUND)}"
    unraced = Backbones(tuple(FOUND.left[:1]))
    assert (told_of(first, unraced), in_a_note(unraced)) == ([], "")
    assert tags_of_backbones(unraced) == {"backbone": "near", "backbones.left_out": "none"}
    assert (tags_of_backbones(None), in_a_note(None)) == ({}, "")
