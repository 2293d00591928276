from types import SimpleNamespace

import cloudpickle
import pytest

from pipeline.config import plain_run, with_hyper_parameters
from pipeline.identity import Inputs, configuration_hash, identity
from sweeps.schema.loading import load
from sweeps.search.plan import Plan
from sweeps.search.record import SearchRecord, Trial
from sweeps.search.recorder import Recorder, stopped_by
from sweeps.statistics.rows import METRICS
from sweeps.terminal.progress import Progress, Trials
from sweeps.tracking.outbox import Outbox
from tests.sweeps.findings import reported
from tests.sweeps.search.noted import Noted
from tests.sweeps.tiny import CONFIG, TINY

INPUTS = Inputs("images", "weights", "float32")
SWEEP = load(CONFIG, TINY)
FIRST, SECOND = {"alpha": 0.0, "lr": 0.01}, {"lambda": 1.0, "alpha": 2.0, "tau": 1.0, "patches": 4, "lr": 0.01}
PLAN = Plan((4, 2), 2, (2, 4))
SESSION = SimpleNamespace(inputs_of=lambda run: INPUTS)
DATA = [SimpleNamespace(digest="images"), SimpleNamespace(digest="the same, for another backbone")]


def recorder_of(stop="racing"):
    searched = plain_run(SWEEP, SWEEP.search.split)
    search = SWEEP.search.model_copy(update={"stop": stop})
    return Recorder(searched, search, PLAN, SESSION, Noted(), Progress(1), {"mlflow.user": "me"}, DATA)


@pytest.fixture
def recorder():
    return recorder_of()


def trial(name, values=FIRST, generation=0, race=False):
    """What Tune says of a trial that asks for one; `name` is that of its setting's first look."""
    return of_several({name: values}, generation, race)


def of_several(settings, generation=0, race=False):
    """What Tune says of a trial that asks for several, each called as its setting's first look."""
    asked = {f"{generation}.{place}": name for place, name in enumerate(settings)}
    config = {
        "asked": asked,
        "generation": generation,
        "settings": dict(zip(asked, settings.values(), strict=True)),
        "race": race,
    }
    return SimpleNamespace(config=config)


def report(episodes, accuracy, **other):
    return {**dict.fromkeys(METRICS), "episodes": episodes, "failed": 0, "accuracy": accuracy, **other}


def begin(recorder, one):
    recorder.on_trial_start(0, [one], one)


def tell(recorder, one, *reports):
    """Has Tune say what those that the trial asks for reported."""
    named = [{"asked": name, **own} for name, own in zip(one.config["asked"], reports, strict=False)]
    recorder.on_trial_result(0, [one], one, {"accuracy": 0.5, "reports": named})


def test_a_setting_begins_with_what_it_is_and_once(recorder):
    one = trial("0.1", SECOND)
    begin(recorder, one)
    begin(recorder, trial("0.1", SECOND, 1))
    begin(recorder, trial("0.1", SECOND, 2, race=True))
    ((name, title, parameters, tags, data),) = recorder.tracker.of("trial")
    run = with_hyper_parameters(plain_run(SWEEP, "validation"), SECOND)
    assert (name, title) == ("0.1", "lora · lambda 1 · alpha 2 · tau 1 · P 4 · lr 0.01")
    assert (parameters["patches"], parameters["episodes.split"], parameters["generation"]) == (4, "validation", 0)
    assert (tags["fpt.kind"], tags["solver"], tags["winner"], tags["mlflow.user"]) == ("trial", "lora", "no", "me")
    assert tags["config_hash"] == configuration_hash(identity(run, INPUTS))
    assert data == DATA[:1]
    begin(recorder, trial("1.0", SECOND, 1))
    assert [call[0] for call in recorder.tracker.of("trial")] == ["0.1", "1.0"]


def test_a_look_is_told_by_its_generation(recorder):
    for generation, accuracy in ((0, 0.75), (1, None)):
        tell(recorder, trial("0.1", SECOND, generation), report(1, accuracy))
    tell(recorder, of_several({"0.0": FIRST, "0.1": SECOND}, 2), report(1, 0.5), report(1, 0.25))
    looks = [["0.1", 0, 0.75], ["0.1", 1, None], ["0.0", 2, 0.5], ["0.1", 2, 0.25]]
    assert recorder.tracker.of("look") == looks
    assert recorder.tracker.of("report") == []


def test_a_rung_of_the_race_is_told_by_its_episodes(recorder):
    one = trial("0.1", SECOND, 2, race=True)
    tell(recorder, one, report(2, 0.625, seconds_per_episode=0.25, ci95=0.1, rung=1))
    tell(recorder, one, report(4, None))
    tell(recorder, one, {**report(4, 0.5), "stopped_by": "racing"})
    recorder.on_trial_result(0, [one], one, {"accuracy": None, "error": "broken"})
    (first, second) = recorder.tracker.of("report")
    assert (first[:2], second[:2]) == (["0.1", 2], ["0.1", 4])
    assert first[2].keys() == {*METRICS, "episodes_per_second"}
    assert (first[2]["accuracy"], first[2]["ci95"], first[2]["episodes_per_second"]) == (0.625, 0.1, 4.0)
    assert (second[2].keys(), second[2]["accuracy"]) == (set(METRICS), None)
    assert recorder.tracker.of("look") == []


@pytest.mark.parametrize(("stop", "spared"), [("racing", 2), ("t_racing", 2), ("halving", None)])
def test_how_the_search_stands_is_shown(stop, spared):
    recorder = recorder_of(stop)
    shown = [recorder.progress.trials]
    race = [trial("0.0", FIRST, 2, race=True), trial("0.1", SECOND, 2, race=True)]
    for one in (of_several({"0.0": FIRST, "0.1": SECOND}), trial("0.0", FIRST, 1)):
        begin(recorder, one)
        tell(recorder, one, report(1, 0.5), report(1, 0.5))
        recorder.on_trial_complete(0, [], one)
        shown.append(recorder.progress.trials)
    for one in race:
        begin(recorder, one)
        tell(recorder, one, report(2, 0.5))
    shown.append(recorder.progress.trials)
    tell(recorder, race[1], {**report(2, 0.5), "stopped_by": stop})
    shown.append(recorder.progress.trials)
    for one in race:
        recorder.on_trial_complete(0, race, one)
    shown.append(recorder.progress.trials)
    nothing = None if spared is None else 0
    assert shown == [
        Trials(0, 6, 0, spared=nothing),
        Trials(2, 6, 2, spared=nothing),
        Trials(3, 6, 2, spared=nothing),
        Trials(3, 6, 2, 2, spared=nothing),
        Trials(3, 6, 2, 1, 1, 1, spared=spared),
        Trials(3, 6, 2, 0, 2, 1, spared=spared),
    ]


def test_a_trial_that_errs_has_ended(recorder):
    for one in (trial("0.0"), trial("0.1", SECOND, 2, race=True)):
        begin(recorder, one)
        recorder.on_trial_error(0, [one], one)
    assert recorder.progress.trials == Trials(1, 6, 2, 0, 1, 1, spared=4)


def test_what_is_believed_is_told(recorder):
    assert recorder.description() == "**Searching:** 0 of 6 looks, at 0 settings."
    begin(recorder, trial("0.0"))
    recorder.on_trial_complete(0, [], trial("0.0"))
    recorder.believed(SECOND, 0.625, 0.05, 4)
    best = "lora · lambda 1 · alpha 2 · tau 1 · P 4 · lr 0.01"
    note = f"**Searching:** 1 of 6 looks, at 1 settings. Best so far: {best}, expected to have 62.5 ± 9.8 %."
    assert recorder.tracker.of("so_far") == [[4, 0.625, note]]
    assert (recorder.progress.best.setting, str(recorder.progress.best.estimate)) == (best, "62.5 ± 9.8")
    assert recorder.progress.best.estimate.episodes == 4


def test_all_runs_are_closed_with_what_stopped_them(recorder):
    look, whole = (reported(1, 0.5),), (reported(2, 0.5), reported(4, 0.75, ci95=0.02))
    record = SearchRecord(
        (
            Trial("0.0", 0, FIRST, look),
            Trial("0.1", 0, SECOND, look, whole),
            Trial("0.2", 0, FIRST, look, whole[:1], stopped_by="racing"),
            Trial("0.3", 0, FIRST, look, (), stopped_by="error"),
        ),
        (2, 4),
    )
    recorder.close(record)
    assert recorder.tracker.of("finish_trial") == [
        ["0.0", "FINISHED", "looks"],
        ["0.1", "FINISHED", "none"],
        ["0.2", "FINISHED", "racing"],
        ["0.3", "FAILED", "error"],
    ]
    assert [stopped_by(one) for one in record.trials] == ["looks", "none", "racing", "error"]
    assert recorder.progress.best.setting == "lora · lambda 1 · alpha 2 · tau 1 · P 4 · lr 0.01"
    assert str(recorder.progress.best) == "75.0 ± 2.0 % on 4 validation episodes"


def test_tune_can_write_down_a_recorder_whose_tracker_holds_a_thread(recorder):
    """Tune writes down its callbacks now and then."""
    recorder.tracker = Outbox(lambda error: False, lambda: None)
    try:
        with pytest.raises(TypeError, match="cannot pickle"):
            cloudpickle.dumps(recorder.tracker)
        cloudpickle.loads(cloudpickle.dumps(recorder))
    finally:
        recorder.tracker.close()
