import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from requests import HTTPError, Response

from sweeps.connecting import is_transient, quiet
from sweeps.described import Data
from sweeps.masking import without_secrets
from sweeps.tracking import Tracker, check_tracking, recorded_trial

# MLflow's own models use what SQLAlchemy has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.usefixtures("here"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    """A SQLite store; making one takes MLflow seconds, so tests share it under experiments of their own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def tracker(uri, request) -> Iterator[Tracker]:
    tracker = Tracker(uri, request.node.name)
    yield tracker
    tracker.close()


def started(tracker):
    tracker.start("sweep abc", "glyphs abc", {"solver.lr": 0.01, "search.rungs": [2, 4]}, {"fpt.kind": "sweep"})
    return tracker


def with_trial(tracker):
    started(tracker).trial("0.1", "lora · no prompts", {"alpha": 0.0}, {"solver": "lora"})
    return tracker


def runs(tracker):
    assert tracker.flush(60) == 0
    client = mlflow.MlflowClient(tracking_uri=tracker.tracking_uri)
    return list(client.search_runs([tracker.experiment_id], order_by=["attributes.start_time"]))


def history(tracker, trial, metric):
    assert tracker.flush(60) == 0
    found = tracker.client.get_metric_history(tracker.children[trial], metric)
    return sorted((one.step, one.value) for one in found)


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
    tracker.fail()
    by_id = {run.info.run_id: run for run in runs(tracker)}
    ended = {trial: by_id[run_id] for trial, run_id in tracker.children.items()}
    assert (ended["0.1"].info.status, ended["0.1"].data.tags["stopped_by"]) == ("FINISHED", "halving")
    assert (ended["0.2"].info.status, ended["0.2"].data.tags["stopped_by"]) == ("FAILED", "error")
    assert by_id[tracker.run_id].info.status == "FAILED"
    started(Tracker(tracker.tracking_uri, tracker.experiment))
    assert {run.info.run_id: run for run in runs(tracker)}[tracker.run_id].info.status == "RUNNING"


def test_failing_before_the_start_is_nothing(tracker):
    tracker.fail()
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
        monkeypatch.setattr("sweeps.tracking._now", lambda passed=passed: began + passed)
        tracker.vitals({"system/cpu_utilization_percentage": value})
    tracker.vitals({})
    assert of_parent(tracker, "system/cpu_utilization_percentage") == [(1, 1.0), (2, 3.0), (17, 4.0)]


def test_more_nodes_than_one_call_takes(tracker):
    started(tracker)
    tracker.parent.info._start_time -= 1000
    tracker.vitals({f"system/node_{number}/cpu": float(number) for number in range(1001)})
    (run,) = runs(tracker)
    assert run.data.metrics == {f"system/node_{number}/cpu": float(number) for number in range(1001)}


def test_a_mistake_is_not_raised_where_nodes_are_told(tracker):
    with_trial(tracker)
    tracker.parent.info._start_time -= 1000
    tracker.report("0.1", 1, {"no name: ?": 1.0})
    while tracker.outbox.mistake is None:
        time.sleep(0.01)
    tracker.vitals({"system/cpu": 1.0})
    with pytest.raises(RuntimeError, match="no name"):
        tracker.flush(60)
    assert of_parent(tracker, "system/cpu")[0][1] == 1.0


def test_what_is_not_finite_is_not_known(tracker):
    with_trial(tracker)
    tracker.report("0.1", 1, {"episodes": 1, "ci95": float("inf"), "difference": float("nan")})
    assert history(tracker, "0.1", "episodes") == [(1, 1.0)]
    assert history(tracker, "0.1", "ci95") == history(tracker, "0.1", "difference") == []


def test_only_hyper_parameters_of_a_trial_are_read_back(tracker):
    tracker.start("sweep abc", "abc", {"solver.lr": 0.01}, {"fpt.kind": "sweep"})
    own = {"alpha": 0.5, "generation": 0, "search.seed": 0, "solver.lr": 0.01, "precision": "float32"}
    tracker.trial("0.1", "any", own, {"fpt.kind": "trial"})
    assert tracker.flush(60) == 0
    told = recorded_trial(tracker.tracking_uri, tracker.children["0.1"])
    assert told == ({"alpha": "0.5", "generation": "0"}, {"solver.lr": "0.01"})


def test_what_a_trial_costs(tracker, monkeypatch):
    """Calls to MLflow: of a new trial with two reports, and of the same again."""
    for expected in (
        {"search_runs": 2, "create_run": 1, "log_inputs": 1, "log_batch": 4, "set_tag": 1, "set_terminated": 1},
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


def test_a_store_that_is_not_there_yet_is_not_made_by_checking(here, tmp_path):
    check_tracking(f"sqlite:///{tmp_path / 'not' / 'yet' / 'mlflow.db'}")
    assert [*tmp_path.iterdir(), *here.iterdir()] == [here]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(
        ValueError, match=r"tracking_uri must be one that MLflow can reach but 'sqlite:///.*cannot write"
    ):
        check_tracking(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")


@pytest.mark.parametrize("use", [check_tracking, lambda uri: Tracker(uri, "any")], ids=["check", "tracker"])
@pytest.mark.timeout(60)
def test_an_unreachable_server_is_said_to_be_so_within_seconds(use, unreachable):
    with pytest.raises(
        ValueError, match=f"^tracking_uri must be one that MLflow can reach but '{unreachable}' failed: "
    ) as said:
        use(unreachable)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("uri", ["ftp://host/path", "runs/mlflow"])
def test_what_is_no_tracking_uri_is_refused_and_nothing_is_written(here, uri):
    with pytest.raises(ValueError, match=r"^tracking_uri must be one that MLflow can reach but"):
        check_tracking(uri)
    assert list(here.iterdir()) == []


def test_what_the_user_has_set_about_retries_stays(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    quiet()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x"),
        ("http://:secret@host:5000", "http://:***@host:5000"),
        ("'postgresql+psycopg2://me:sec:ret@host/db' failed", "'postgresql+psycopg2://me:***@host/db' failed"),
        ("mysql://me:se/c@ret@host/db and a@b", "mysql://me:***@host/db and a@b"),
        ("a http://me:12@host/x, b http://me:34@host/y", "a http://me:***@host/x, b http://me:***@host/y"),
        ("postgresql://host:5432/db?user=me&password=secret&a=b", "postgresql://host:5432/db?user=me&password=***&a=b"),
        ("no://me@host and http://host:5000/a@b", "no://me@host and http://host:5000/a@b"),
        ("sqlite:////home/a:b/mlflow.db", "sqlite:////home/a:b/mlflow.db"),
    ],
)
def test_passwords_are_not_shown(said, shown):
    assert without_secrets(said) == shown


@pytest.mark.parametrize("use", [check_tracking, lambda uri: Tracker(uri, "any")], ids=["check", "tracker"])
@pytest.mark.parametrize("password", ["Quax", "Qu/ax", "Qu@ax", "Quax" * 40])
def test_a_password_is_not_in_the_sentence_about_its_server(use, password, unreachable):
    with pytest.raises(ValueError, match=r"tracking_uri must be one .*://me:\*\*\*@127") as said:
        use(unreachable.replace("http://", f"http://me:{password}@"))
    assert "Qu" not in str(said.value)
    assert "ax" not in str(said.value).replace("Max", "")
    assert said.value.__suppress_context__


def test_a_mistake_is_raised_by_the_next_call(tracker):
    with_trial(tracker)
    tracker.report("0.1", 1, {"no name: ?": 1.0})
    with pytest.raises(RuntimeError, match=r"^MLflow did not take what there was to record: .*no name"):
        tracker.flush(60)
    tracker.report("0.1", 1, {"episodes": 1.0})
    assert history(tracker, "0.1", "episodes") == [(1, 1.0)]


def test_a_mistake_holds_nothing_else_up(tracker, tmp_path):
    started(tracker).summarise({"episodes": 1}, 1, "so it was", [tmp_path / "no such file"])
    with pytest.raises(RuntimeError, match="no such file"):
        tracker.flush(60)
    (run,) = runs(tracker)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"episodes": 1.0})


def test_what_is_refused_is_not_said_with_a_password(tracker, monkeypatch):
    def refuse(*_):
        raise answered(403)

    monkeypatch.setattr(tracker.client, "set_terminated", refuse)
    started(tracker).summarise({}, 1, "any", [])
    with pytest.raises(RuntimeError, match=r"403 .* http://me:\*\*\*@host/x") as said:
        tracker.flush(60)
    assert said.value.__suppress_context__


def answered(status: int) -> HTTPError:
    """As `raise_for_status` raises it for a file's upload."""
    response = Response()
    response.status_code, response.url = status, "http://me:secret@host/x"
    return HTTPError(f"{status} Client Error: for url: {response.url}", response=response)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError("away"), True),
        (TimeoutError("away"), True),
        (answered(503), True),
        (answered(403), False),
        (FileNotFoundError("report.md"), False),
        (PermissionError("artifacts"), False),
        (KeyError("0.1"), False),
    ],
)
def test_an_absent_server_is_told_from_a_mistake_about_files(error, transient):
    assert is_transient(error) == transient


def test_the_same_metric_sent_twice_is_there_once(tracker):
    """What `report` relies on where a request was carried out while the next one was on its way."""
    entries = [mlflow.entities.Metric("accuracy", 0.5, 1_700_000_000_000, 16)]
    for _ in range(2):
        started(tracker).client.log_batch(tracker.run_id, entries)
    (metric,) = tracker.client.get_metric_history(tracker.run_id, "accuracy")
    assert (metric.step, metric.value) == (16, 0.5)


def test_a_start_whose_answer_was_lost_is_found_again(tracker, monkeypatch):
    _lose_every_other_answer(monkeypatch, tracker.client, "create_run")
    with pytest.raises(ValueError, match=r"^tracking_uri must be one .* failed: the answer was lost$"):
        started(tracker)
    (run,) = runs(tracker)
    assert started(tracker).run_id == run.info.run_id
    assert runs(tracker)[0].data.params == {"solver.lr": "0.01", "search.rungs": "[2, 4]"}


@pytest.mark.parametrize("begun", [1, 2_000_000_000_000], ids=["older", "newer"])
def test_of_doubles_the_one_that_holds_something_is_left(tracker, begun):
    """A request to make a run that is carried out after another has long been made and used."""
    with_trial(tracker)
    tracker.report("0.1", 16, {"episodes": 16})
    assert history(tracker, "0.1", "episodes") == [(16, 16.0)]
    for run in runs(tracker):
        tracker.client.create_run(tracker.experiment_id, begun, run.data.tags)
    again = with_trial(Tracker(tracker.tracking_uri, tracker.experiment))
    assert {run.info.run_id for run in runs(again)} == {tracker.run_id, tracker.children["0.1"]}


def test_an_answer_that_was_lost_is_not_recorded_twice(tracker, monkeypatch):
    """What was carried out and then not answered is sent again: it must not be there twice."""
    monkeypatch.setattr(tracker.outbox, "pauses", (0.01,))
    with_trial(tracker)
    assert tracker.flush(60) == 0
    for name in ("create_run", "log_batch", "set_terminated"):
        _lose_every_other_answer(monkeypatch, tracker.client, name)
    tracker.trial("0.2", "another", {"alpha": 1.0}, {})
    for step in (16, 32):
        tracker.report("0.2", step, {"episodes": step, "accuracy": 0.5})
    tracker.finish_trial("0.2", "FINISHED", "none")
    assert history(tracker, "0.2", "accuracy") == [(16, 0.5), (32, 0.5)]
    assert len(runs(tracker)) == 3
    (found,) = [run for run in runs(tracker) if run.info.run_id == tracker.children["0.2"]]
    assert (found.info.status, found.data.params) == ("FINISHED", {"alpha": "1.0"})


def _lose_every_other_answer(monkeypatch, client, name):
    real, calls = getattr(client, name), []

    def lossy(*arguments, **options):
        calls.append(real(*arguments, **options))
        if len(calls) % 2:
            raise ConnectionError("the answer was lost")
        return calls[-1]

    monkeypatch.setattr(client, name, lossy)
