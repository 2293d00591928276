import optuna
import pytest

from sweeps.search.study import open_study
from tests.sweeps.search.played import made, play
from tests.sweeps.search.spaces import FIRST


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def found(storage, name):
    """The trials of a study, as who opens the database has them."""
    database = optuna.storages.RDBStorage(storage)
    try:
        return optuna.load_study(study_name=name, storage=database).trials
    finally:
        database.remove_session()
        database.engine.dispose()


def facts(trial):
    return (trial.number, trial.state, trial.value, trial.params, trial.user_attrs, trial.intermediate_values)


def test_a_study_is_begun_anew_under_its_name(storage):
    with open_study(storage, "mine") as study, open_study(storage, "other") as other:
        study.add([optuna.create_trial(value=0.5)])
        other.add([optuna.create_trial(value=0.25)])
    assert [trial.value for trial in found(storage, "mine")] == [0.5]
    with open_study(storage, "mine"):
        pass
    assert found(storage, "mine") == []
    assert [trial.value for trial in found(storage, "other")] == [0.25]


def test_what_is_kept_is_what_the_search_told_optuna(storage):
    with open_study(storage, "mine") as study:
        proposals = made(first=FIRST, keep=study.add, accuracy=lambda values: None if values["lr"] > 0.02 else 0.5)
        play(proposals)
        proposals.finish()
    ended = [facts(trial) for trial in proposals.study.trials]
    assert [facts(trial) for trial in found(storage, "mine")] == ended
    assert len(ended) == 15


def test_a_study_that_somebody_deletes_is_said_to_be_gone(storage):
    def deleted():
        with open_study(storage, "mine") as study:
            optuna.delete_study(study_name="mine", storage=study.study._storage)
            study.add([optuna.create_trial(value=1.0)])

    said = r"^the study 'mine' was deleted from sqlite:///.* while the sweep ran; the same command"
    with pytest.raises(RuntimeError, match=said):
        deleted()


def test_what_was_wrong_with_trials_is_raised_at_the_next(storage):
    def add(*trials):
        with open_study(storage, "mine") as study:
            for trial in trials:
                study.add([trial])
                study.writing[-1].exception()  # it has been tried

    wrong, right = optuna.create_trial(value=1.0), optuna.create_trial(value=1.0)
    wrong.values = [1.0, 2.0]
    for trials in ([wrong], [wrong, right]):
        with pytest.raises(ValueError, match="objective"):
            add(*trials)
    assert found(storage, "mine") == []


def test_an_error_of_the_search_stays_what_it_is(storage):
    with pytest.raises(KeyError, match="ours"), open_study(storage, "mine"):
        raise KeyError("ours")
