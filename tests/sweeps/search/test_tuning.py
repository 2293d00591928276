import cloudpickle

from sweeps.search.tuning import _Failure
from tests.sweeps.search.played import made, play


def test_the_first_error_ends_the_search_and_is_what_is_said():
    failure = _Failure()
    assert (failure("tune 0", {"accuracy": 0.5}), failure.stop_all()) == (False, False)
    assert (failure("tune 1", {"accuracy": None, "error": "no room"}), failure.stop_all()) == (False, True)
    failure("tune 2", {"accuracy": None, "error": "cut off"})
    assert (failure.error, failure.stop_all()) == ("no room", True)


def test_tune_can_write_down_proposals_whose_study_is_kept_by_a_thread():
    """Tune writes down its search algorithm now and then."""
    proposals = made(keep=lambda trials: None)
    play(proposals)
    assert vars(cloudpickle.loads(cloudpickle.dumps(proposals))) == {}
