"""How a session opens and closes, where no Ray is needed for it; test_session.py opens real ones."""

import signal
import threading

import pytest
import ray
from ray.exceptions import RayTaskError

from pipeline import opening
from pipeline.dispatch.actors import Wanted
from pipeline.opening import open_session
from pipeline.storage.folder import Home
from tests.pipeline.dispatch.staff import FOUND


def test_a_job_must_not_take_its_results_with_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(opening.IN_JOB, "{}")
    sentence = "^home must be a folder that all nodes reach, or like s3://bucket/path, in a job"
    with pytest.raises(ValueError, match=sentence), open_session(run, Home("runs")):
        pass
    assert list(tmp_path.iterdir()) == []


class Starting:
    """Stands for a dispatcher whose first worker opens after so many looks; `error` is what it opens with."""

    def __init__(self, looks, monkeypatch, error=None):
        self.looks, self.error, self.waited = looks, error, []
        self.start = self
        monkeypatch.setattr(ray, "wait", self.wait)
        monkeypatch.setattr(ray, "get", self.get)
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 0.0})

    def remote(self):
        return "asked"

    def wait(self, asked, timeout):
        self.waited.append(timeout)
        return (asked, []) if len(self.waited) > self.looks else ([], asked)

    def get(self, asked):
        if self.error:
            raise self.error
        return FOUND


def test_what_the_first_worker_may_be_waiting_for_is_said(monkeypatch, capsys):
    starting = Starting(2, monkeypatch)
    assert opening._first_worker(starting, Wanted(0.5, None, 1), "vit_x") == FOUND
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0] == (
        "fpt: waiting for the first worker, which needs 0.5 GPU (the cluster has 0 GPUs and 2 cores) and loads vit_x, "
        "whose weights may have to be downloaded; where no node with so many is to come, compute.gpus_per_worker=0 "
        "takes cores"
    )
    assert starting.waited == [opening.SAY_AFTER_SECONDS, *[opening.SAY_AGAIN_SECONDS] * 2]


def test_what_the_first_worker_finds_wrong_is_raised_without_rays_account(monkeypatch):
    starting = Starting(0, monkeypatch, RayTaskError("open", "Traceback ...", ValueError("backbone.name must be")))
    with pytest.raises(ValueError, match=r"^backbone\.name must be$"):
        opening._first_worker(starting, Wanted(0.0, None, 1), "vit_x")


def test_signals_are_taken_as_before_whatever_ray_does_to_them(monkeypatch):
    def mine(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, mine) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with opening._own_signals():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_thread_leaves_signals_alone():
    ended = []

    def work():
        with opening._own_signals():
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
