import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest

from sweeps.tracking.fields import Data
from sweeps.tracking.tracker import Tracker
from tests.sweeps.tracking.tracked import history, runs, started, with_trial

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


def test_a_sweep_is_one_run_however_often_it_is_started(tracker):
    started(tracker)
    again = started(Tracker(tracker.tracking_uri, tracker.experiment))
    assert again.run_id == tracker.run_id
    (run,) = runs(tracker)
    assert run.info.run_name == "glyphs abc"
    assert run.data.params == {"solver.lr": "0.01", "search.rungs": "[2, 4]"}
    assert run.data.tags["fpt.kind"] == "sweep"
    other = Tracker(tracker.tracking_uri, tracker.experiment)
    other.start("sweep def", "glyphs def", {}, {})
    assert other.run_id != tracker.run_id
    assert len(runs(tracker)) == 2


def test_trials_are_children_and_are_found_again(tracker):
    with_trial(tracker)
    tracker.trial("0.1", "lora · no prompts", {"alpha": 0.0}, {"solver": "lora"})
    tracker.trial("0.2", "lora · lambda 1", {"alpha": 1.0}, {"solver": "lora"})
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    assert (tracker.flush(60), again.flush(60)) == (0, 0)
    assert again.children["0.1"] == tracker.children["0.1"]
    found = {run.info.run_id: run for run in runs(tracker)}
    assert len(found) == 3
    for trial, alpha in (("0.1", "0.0"), ("0.2", "1.0")):
        child = found[tracker.children[trial]]
        assert child.data.tags["mlflow.parentRunId"] == tracker.run_id
        assert (child.data.tags["fpt.trial"], child.data.params) == (trial, {"alpha": alpha})


def test_the_same_trial_of_another_sweep_is_another_run(tracker):
    with_trial(tracker)
    other = Tracker(tracker.tracking_uri, tracker.experiment)
    other.start("sweep def", "glyphs def", {}, {})
    other.trial("0.1", "lora · no prompts", {}, {})
    assert (tracker.flush(60), other.flush(60)) == (0, 0)
    assert other.children["0.1"] != tracker.children["0.1"]


def test_a_look_is_logged_once_at_its_generation(tracker):
    with_trial(tracker)
    tracker.look("0.1", 0, 0.5)
    tracker.look("0.1", 0, 0.75)
    tracker.look("0.1", 3, 0.25)
    tracker.look("0.1", 4, None)  # its episode failed
    tracker.report("0.1", 16, {"episodes": 16, "accuracy": 0.5})  # a race that comes later is apart
    assert tracker.flush(60) == 0
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    again.look("0.1", 3, 0.75)
    again.look("0.1", 5, 1.0)
    assert again.flush(60) == 0
    told = tracker.client.get_metric_history(tracker.children["0.1"], "look")
    assert [(one.step, one.value) for one in told] == [(0, 0.5), (3, 0.25), (5, 1.0)]
    assert len(tracker.client.get_metric_history(tracker.children["0.1"], "episodes")) == 1


def test_a_step_is_logged_once(tracker):
    with_trial(tracker)
    tracker.report("0.1", 16, {"episodes": 16, "accuracy": 0.5, "ci95": None})
    tracker.report("0.1", 16, {"episodes": 16, "accuracy": 0.75})
    assert tracker.flush(60) == 0
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    again.report("0.1", 16, {"episodes": 16, "accuracy": 0.25})
    again.report("0.1", 32, {"episodes": 32, "accuracy": 0.25})
    assert again.flush(60) == 0
    assert history(tracker, "0.1", "accuracy") == [(16, 0.5), (32, 0.25)]
    assert history(tracker, "0.1", "episodes") == [(16, 16.0), (32, 32.0)]
    assert history(tracker, "0.1", "ci95") == []


def test_runs_end_as_they_are_said_to(tracker):
    with_trial(tracker)
    tracker.trial("0.2", "another", {}, {})
    tracker.finish_trial("0.1", "FINISHED", "halving")
    tracker.finish_trial("0.2", "FAILED", "error")
    tracker.end("FAILED")
    by_id = {run.info.run_id: run for run in runs(tracker)}
    ended = {trial: by_id[run_id] for trial, run_id in tracker.children.items()}
    assert (ended["0.1"].info.status, ended["0.1"].data.tags["stopped_by"]) == ("FINISHED", "halving")
    assert (ended["0.2"].info.status, ended["0.2"].data.tags["stopped_by"]) == ("FAILED", "error")
    assert by_id[tracker.run_id].info.status == "FAILED"
    started(Tracker(tracker.tracking_uri, tracker.experiment))
    assert {run.info.run_id: run for run in runs(tracker)}[tracker.run_id].info.status == "RUNNING"


def test_failing_before_the_start_is_nothing(tracker):
    tracker.end("FAILED")
    assert runs(tracker) == []


def summarised(tracker, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# so it is")
    for _ in range(2):
        started(tracker).summarise({"episodes": 200, "accuracy": 0.5, "difference": None}, 200, "**won**", [report])


def test_a_summary_closes_the_sweep(tracker, tmp_path):
    summarised(tracker, tmp_path)
    (run,) = runs(tracker)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"episodes": 200.0, "accuracy": 0.5}
    assert run.data.tags["mlflow.note.content"] == "**won**"
    assert [file.path for file in tracker.client.list_artifacts(tracker.run_id)] == ["report.md"]


def test_files_lie_beside_the_store_and_not_where_the_command_was_typed(tracker, uri, tmp_path):
    summarised(tracker, tmp_path)
    (run,) = runs(tracker)
    beside = Path(uri.removeprefix("sqlite:///")).parent
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(beside)


def test_a_summary_names_verdict_and_winner_and_takes_back_an_earlier_one(tracker):
    for winner, verdict in (("0.1", "no winner"), ("0.2", "prompts help")):
        again = started(Tracker(tracker.tracking_uri, tracker.experiment))
        for trial in ("0.1", "0.2"):
            again.trial(trial, trial, {}, {"winner": "no"})
        again.summarise({"episodes": 1}, 1, "so it was", [], {"verdict": verdict}, winner)
        tags = {run.data.tags.get("fpt.trial"): run.data.tags for run in runs(again)}
        assert tags[None]["verdict"] == verdict
        assert {trial: tags[trial]["winner"] for trial in ("0.1", "0.2")} == {
            "0.1": "yes" if winner == "0.1" else "no",
            "0.2": "yes" if winner == "0.2" else "no",
        }
        again.close()


def test_parameters_stay_as_they_were_and_tags_are_the_last_starts(tracker):
    tracker.start("sweep abc", "abc", {"torch": "1", "lr": 0.1}, {"env.torch": "1", "solver": "lora"})
    again = Tracker(tracker.tracking_uri, tracker.experiment)
    again.start("sweep abc", "abc", {"torch": "2", "tau": 1}, {"env.torch": "2", "solver": "lora", "more": "x"})
    (run,) = runs(again)
    assert run.data.params == {"torch": "1", "lr": "0.1", "tau": "1"}
    tags = {name: run.data.tags[name] for name in ("env.torch", "solver", "more")}
    assert tags == {"env.torch": "2", "solver": "lora", "more": "x"}


def test_what_is_too_long_is_cut(tracker):
    tracker.start("sweep long", "long", {"long": "x" * 6001, "fits": "y" * 6000}, {})
    tracker.describe("z" * 8001)
    (run,) = runs(tracker)
    assert run.data.params == {"long": "x" * 5996 + " ...", "fits": "y" * 6000}
    assert run.data.tags["mlflow.note.content"] == "z" * 7996 + " ..."


def data(context, split):
    return Data(f"glyphs {split}", "0123456789abcdef", f"file:///{split}.arrow", context, {"images": 7, "split": split})


def test_data_sets_are_inputs_once_however_often_a_run_is_opened(tracker):
    both = [data("search", "validation"), data("final", "novel")]
    for _ in range(2):
        again = Tracker(tracker.tracking_uri, tracker.experiment)
        again.start("sweep abc", "abc", {}, {}, both)
        again.trial("0.1", "any", {}, {}, both[:1])
        again.reads(both)
        found = runs(again)
        again.close()
    inputs = {run.data.tags.get("fpt.trial"): run.inputs.dataset_inputs for run in found}
    told = {
        trial: sorted((one.dataset.name, *((tag.key, tag.value) for tag in one.tags)) for one in own)
        for trial, own in inputs.items()
    }
    validation = ("glyphs validation", ("mlflow.data.context", "search"))
    assert told == {"0.1": [validation], None: [("glyphs novel", ("mlflow.data.context", "final")), validation]}
    (one,) = inputs["0.1"]
    assert (one.dataset.digest, one.dataset.profile) == ("0123456789abcdef", '{"images": 7, "split": "validation"}')
    assert mlflow.data.get_source(one).to_dict() == {"uri": "file:///validation.arrow"}


def of_parent(tracker, metric):
    assert tracker.flush(60) == 0
    return sorted((one.step, one.value) for one in tracker.client.get_metric_history(tracker.run_id, metric))


def test_how_the_search_stands_is_logged_once_and_described_always(tracker):
    started(tracker)
    for ended, best in ((1, None), (2, 0.5), (3, 0.75)):
        tracker.so_far(ended, best, f"{ended} ended")
    assert of_parent(tracker, "best_so_far") == [(2, 0.5), (3, 0.75)]
    again = started(Tracker(tracker.tracking_uri, tracker.experiment))
    again.so_far(2, 0.6, "2 ended, again")
    again.summarise({"episodes": 2, "accuracy": 0.5}, 2, "**won**", [])
    assert of_parent(again, "best_so_far") == [(2, 0.5), (3, 0.75)]
    assert of_parent(again, "accuracy") == [(2, 0.5)]
    assert runs(again)[0].data.tags["mlflow.note.content"] == "**won**"
    again.so_far(3, 0.6, "3 ended, again")
    assert runs(again)[0].data.tags["mlflow.note.content"] == "3 ended, again"
    again.close()


def test_nodes_are_logged_by_the_seconds_since_the_first_start(tracker, monkeypatch):
    started(tracker)
    began = tracker.parent.info.start_time
    for passed, value in ((1000, 1.0), (1999, 2.0), (2000, 3.0), (17500, 4.0)):
        monkeypatch.setattr("sweeps.tracking.tracker._now", lambda passed=passed: began + passed)
        tracker.node_metrics({"system/cpu_utilization_percentage": value})
    tracker.node_metrics({})
    assert of_parent(tracker, "system/cpu_utilization_percentage") == [(1, 1.0), (2, 3.0), (17, 4.0)]


def test_more_nodes_than_one_call_takes(tracker):
    started(tracker)
    tracker.parent.info._start_time -= 1000
    tracker.node_metrics({f"system/node_{number}/cpu": float(number) for number in range(1001)})
    (run,) = runs(tracker)
    assert run.data.metrics == {f"system/node_{number}/cpu": float(number) for number in range(1001)}


def test_a_mistake_is_not_raised_where_nodes_are_told(tracker):
    with_trial(tracker)
    tracker.parent.info._start_time -= 1000
    tracker.report("0.1", 1, {"no name: ?": 1.0})
    while tracker.outbox.mistake is None:
        time.sleep(0.01)
    tracker.node_metrics({"system/cpu": 1.0})
    with pytest.raises(RuntimeError, match="no name"):
        tracker.flush(60)
    assert of_parent(tracker, "system/cpu")[0][1] == 1.0


def test_what_is_not_finite_is_not_known(tracker):
    with_trial(tracker)
    tracker.report("0.1", 1, {"episodes": 1, "ci95": float("inf"), "difference": float("nan")})
    assert history(tracker, "0.1", "episodes") == [(1, 1.0)]
    assert history(tracker, "0.1", "ci95") == history(tracker, "0.1", "difference") == []


def test_what_a_trial_costs(tracker, monkeypatch):
    """Calls to MLflow: of a new trial with two reports, and of the same again."""
    for expected in (
        {"search_runs": 1, "create_run": 1, "log_inputs": 1, "log_batch": 4, "set_tag": 1, "set_terminated": 1},
        {"search_runs": 1, "update_run": 1, "get_metric_history": 2, "log_batch": 1, "set_tag": 1, "set_terminated": 1},
    ):
        again, calls = started(Tracker(tracker.tracking_uri, tracker.experiment)), Counter()
        for name in ("search_runs", "create_run", "update_run", "get_metric_history", "log_batch", "log_inputs"):
            _count(monkeypatch, again.client, name, calls)
        for name in ("set_tag", "set_terminated"):
            _count(monkeypatch, again.client, name, calls)
        again.trial("0.1", "any", {"alpha": 1.0}, {"solver": "lora"}, [data("search", "validation")])
        for step in (16, 32):
            again.report("0.1", step, {"episodes": step, "accuracy": 0.5})
        again.finish_trial("0.1", "FINISHED", "none")
        again.so_far(1, 0.5, "1 ended")
        assert again.flush(60) == 0
        assert calls == expected
        again.close()


def _count(monkeypatch, client, name, calls):
    real = getattr(client, name)

    def counted(*arguments, **options):
        calls[name] += 1
        return real(*arguments, **options)

    monkeypatch.setattr(client, name, counted)


def test_more_parameters_than_one_call_takes(tracker):
    tracker.start("sweep many", "many", {f"p{i}": i for i in range(230)}, {})
    (run,) = runs(tracker)
    assert run.data.params == {f"p{i}": str(i) for i in range(230)}
