from types import SimpleNamespace

from ray.tune.search import Searcher

from sweeps.search.tuning import _Few


class Asked(Searcher):
    """Has a setting for whoever asks."""

    def __init__(self, racing):
        super().__init__(metric="accuracy", mode="max")
        self.plan, self.racing, self.heard = SimpleNamespace(racers=5), racing, []

    def suggest(self, trial_id):
        return {"look": trial_id}

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.heard.append(trial_id)


def test_looks_have_a_process_and_so_has_each_that_races():
    proposals = Asked(racing=False)
    few = _Few(proposals, 1)
    names = [f"tune {i}" for i in range(9)]
    assert [few.suggest(name) is not None for name in names[:3]] == [True, False, False]
    few.on_trial_complete(names[0])
    assert [few.suggest(name) is not None for name in names[1:3]] == [True, False]
    proposals.racing = True
    assert [few.suggest(name) is not None for name in names[2:]] == [True] * 4 + [False] * 3
    assert proposals.heard == names[:1]
