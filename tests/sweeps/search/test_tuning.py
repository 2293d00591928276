import pytest

from sweeps.schema.sweep import Search
from sweeps.search.tuning import generation_sizes, rung_episodes


@pytest.mark.parametrize(("trials", "generation", "sizes"), [(16, 8, [8, 8]), (7, 3, [3, 3, 1]), (2, 8, [2])])
def test_trials_come_in_generations(trials, generation, sizes):
    assert generation_sizes(Search(space={}, trials=trials, generation=generation)) == sizes


def test_rungs_add_episodes_to_those_before():
    assert rung_episodes(Search(space={}, rungs=(2, 3, 6))) == [[0, 1], [2], [3, 4, 5]]
    assert rung_episodes(Search(space={}, rungs=(3,))) == [[0, 1, 2]]
