from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from fpt.backbones.fingerprint import backbone_fingerprint
from fpt.problems.keeping import scores_of
from fpt.problems.solving import solve
from pipeline.config import Run, with_hyper_parameters
from pipeline.data.sampler import EpisodeSampler
from pipeline.data.store import Sample, pack
from pipeline.identity import Found
from pipeline.orders import WorkOrder
from pipeline.storage.ledger import CIRCUMSTANCES, SCHEMA
from pipeline.workers.features import FrozenImages
from pipeline.workers.worker import Worker, episode_tensors, setting

EPISODES = (3, 4, 9)


@pytest.fixture
def worker(run: Run, store_path: Path, tmp_path: Path) -> Worker:
    return Worker("worker-7", run, store_path, str(tmp_path / "ledger"))


def variants(run):
    """Configurations that share stacks, and some that do not, by names that stand for their hashes."""
    values = {
        "prompts": {"alpha": 2.0},
        "other prompts": {"alpha": 1.0, "lambda": 0.0, "patches": 9},
        "none": {"alpha": 0.0},
        "masks": {"variant": "masks", "alpha": 3.0},
        "frozen": {"name": "protonet"},
        "probe": {"name": "linear_probe", "head": "r2d2", "batch": 2},
    }
    return {name: with_hyper_parameters(run, chosen) for name, chosen in values.items()}


@cache
def of_episode(worker, wanted, adapted, episode):
    """An episode by itself, its features computed anew."""
    sampler = EpisodeSampler(worker.store.classes(wanted.split), wanted.way, wanted.shot, wanted.query, wanted.seed)
    frozen = FrozenImages(worker.backbone, worker.store, 64)
    return episode_tensors(worker.backbone, worker.store, frozen, [sampler[episode]], adapted)


def alone(worker, run, episode):
    """A problem solved by itself."""
    tensors = of_episode(worker, run.episodes, run.solver.adapted, episode)
    ((outcome,),) = solve(worker.backbone, tensors, [setting(run)], 1)
    return outcome


def test_an_order_gives_what_its_problems_give_alone(worker, run):
    runs = variants(run)
    rows = worker.solve(WorkOrder("order", runs, EPISODES), 2)
    assert [(row["config_hash"], row["episode"]) for row in rows] == [(name, i) for name in runs for i in EPISODES]
    for row in rows:
        expected = alone(worker, runs[row["config_hash"]], row["episode"])
        assert tuple(row["class_hits"]) == expected.hits
        assert row["correct"] == sum(expected.hits)
        assert row["queries"] == 3 * 3
        assert row["accuracy"] == sum(expected.hits) / 9
        assert row["failed"] is False
        for name in ("prompt_precision", "prompt_chance", "attention_on_key_before", "attention_on_key_after"):
            value = getattr(expected, name)
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-4))
        assert (row["worker"], row["attempt"]) == ("worker-7", 2)
    assert len({row["accuracy"] for row in rows}) > 1


def test_rows_are_in_the_ledger_before_they_are_handed_over(worker, run):
    rows = worker.solve(WorkOrder("000003-name", variants(run), EPISODES), 1)
    key = ["config_hash", "episode"]
    expected = sorted(rows, key=lambda row: [row[name] for name in key])
    assert worker.ledger.read().to_pylist() == [{name: row[name] for name in SCHEMA.names} for row in expected]
    assert [path.name for path in Path(worker.ledger.folder.root, "rows").iterdir()] == ["000003-name.parquet"]


def test_the_same_order_gives_the_same_bits_on_a_worker_with_another_past(worker, run, store_path, tmp_path):
    order = WorkOrder("order", variants(run), EPISODES)
    worker.solve(WorkOrder("before", variants(run), (4, 5, 6)), 1)
    fresh = Worker("worker-0", run, store_path, str(tmp_path / "another"))

    def results(rows):
        return [{name: value for name, value in row.items() if name not in CIRCUMSTANCES} for row in rows]

    assert results(worker.solve(order, 1)) == results(fresh.solve(order, 1))


def test_compiled_steps_are_told_in_the_row_and_give_the_same_bits_whatever_was_solved_before(
    worker, run, store_path, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch, "compile", lambda program, **_: program)
    compiled = run.model_copy(update={"compute": run.compute.model_copy(update={"compile": True})})
    own = Worker("worker-8", compiled, store_path, str(tmp_path / "own"))
    order = WorkOrder("order", {"prompts": variants(run)["prompts"]}, EPISODES)
    written, found, again = (one.solve(order, 0) for one in (worker, own, own))
    for one, other, third in zip(written, found, again, strict=True):
        assert (one["device"], other["device"]) == ("cpu", "cpu, compiled steps")
        for name in set(SCHEMA.names) - set(CIRCUMSTANCES):
            assert one.get(name) == other.get(name) == third.get(name), name


def test_true_masks_lie_on_the_key_and_only_prompts_are_located(worker, run):
    rows = {row["config_hash"]: row for row in worker.solve(WorkOrder("order", variants(run), (0,)), 1)}
    assert rows["masks"]["prompt_precision"] == 1.0
    assert 0 < rows["masks"]["prompt_chance"] < 0.2  # 16 x 16 pixels of 64 x 64, in whole patches
    assert rows["prompts"]["prompt_chance"] == rows["masks"]["prompt_chance"]
    for name in ("none", "frozen", "probe"):
        assert rows[name]["prompt_precision"] is None
        assert rows[name]["prompt_chance"] is None
        assert rows[name]["attention_on_key_before"] == rows["masks"]["attention_on_key_before"]
    assert rows["frozen"]["attention_on_key_after"] == rows["frozen"]["attention_on_key_before"]


def test_a_problem_that_diverges_fails_alone(worker, run):
    steady = with_hyper_parameters(run, {"lr": 1e-3})
    diverging = with_hyper_parameters(run, {"lr": 1e38})
    rows = worker.solve(WorkOrder("order", {"steady": steady, "diverging": diverging}, (0, 1)), 1)
    assert [row["failed"] for row in rows] == [False, False, True, True]
    assert [row["accuracy"] for row in rows[2:]] == [None, None]
    assert [tuple(row["class_hits"]) for row in rows[:2]] == [alone(worker, steady, i).hits for i in (0, 1)]
    assert worker.ledger.read(["diverging"])["accuracy"].to_pylist() == [None, None]


def test_one_order_adapts_the_same_blocks(worker, run):
    whole = with_hyper_parameters(run, {"name": "ssf", "blocks": 6})
    others = with_hyper_parameters(run, {"blocks": 2}), with_hyper_parameters(whole, {"embeddings": True})
    for one, other in zip((run, whole), others, strict=True):
        with pytest.raises(ValueError, match="must adapt the same blocks"):
            worker.solve(WorkOrder("order", {"one": one, "two": other}, (0,)), 1)
    assert worker.ledger.read().num_rows == 0


@pytest.mark.parametrize("solver", ["ssf", "full"])
def test_embeddings_are_adapted_where_a_configuration_says_so(worker, run, solver):
    values = {"name": solver, "blocks": 6, "lr": {"ssf": 1e-2, "full": 1e-4}[solver]}
    plain, whole = (with_hyper_parameters(run, {**values, "embeddings": chosen}) for chosen in (False, True))
    (row,) = worker.solve(WorkOrder("order", {"whole": whole}, (3,)), 1)
    expected, without = alone(worker, whole, 3), alone(worker, plain, 3)
    assert row["attention_on_key_after"] == pytest.approx(expected.attention_on_key_after, rel=1e-4)
    assert tuple(row["class_hits"]) == expected.hits
    assert (expected.logits - without.logits).abs().max() > 1e-4 * without.logits.abs().max()


@pytest.mark.parametrize(("variant", "rows"), [("official", "all"), ("scaled", "patches"), ("masks", "patches")])
def test_a_variant_brings_its_own_rows_and_a_named_one_wins(run, variant, rows):
    tried = with_hyper_parameters(run, {"variant": variant})
    assert setting(tried).training.rows == rows
    assert setting(with_hyper_parameters(tried, {"rows": "class"})).training.rows == "class"
    assert setting(with_hyper_parameters(tried, {"variant": "official"})).training.rows == "all"


def test_images_of_another_side_are_refused(run, tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    path = pack([Sample("novel", "one", image)], tmp_path / "small.arrow")
    with pytest.raises(ValueError, match="of side 32 but vit_micro_glyphs takes 64"):
        Worker("worker-0", run, path, str(tmp_path / "ledger"))


def test_it_finds_what_only_images_and_weights_can_tell(worker, store, tmp_path):
    assert worker.found() == Found(
        dataset_fingerprint=store.fingerprint,
        backbone_fingerprint=backbone_fingerprint(worker.backbone),
        precision=worker.precision,
        device=worker.backbone.device.type,
        patches=64,
        depth=6,
        masks=True,
        classes={"validation": 6, "novel": 6},
    )


def test_a_setting_is_the_configuration_in_plain_values(run):
    values = {"variant": "paper", "order": "rollout", "lambda": 0.5, "alpha": 2, "tau": 3, "patches": 7, "lr": 0.25}
    chosen = setting(with_hyper_parameters(run, {**values, "rows": "class", "heads": "each", "batch": 2}))
    assert (chosen.solver, chosen.variant, chosen.order) == ("lora", "paper", "rollout")
    assert (chosen.lam, chosen.alpha, chosen.tau, chosen.patches, chosen.lr) == (0.5, 2, 3, 7, 0.25)
    training = chosen.training
    assert (training.way, training.epochs, training.rank, training.batch) == (3, 2, 2, 2)
    assert (training.rows, training.heads, training.layers) == ("class", "each", 1)
    assert setting(with_hyper_parameters(run, {"name": "protonet", "alpha": 2})).alpha == 0.0


def test_an_ensemble_has_the_mean_probabilities_of_its_members(worker, run):
    """Beside members that are configurations by themselves; by NumPy, from the logits of each alone."""
    members = ({"alpha": 2.0}, {"alpha": 0.0, "lr": 0.05}, {"alpha": 1.0, "lambda": 0.0, "patches": 9})
    apart = [with_hyper_parameters(run, values) for values in members]
    together = run.model_copy(update={"ensemble": members})
    rows = worker.solve(WorkOrder("order", {"together": together, "first": apart[0]}, EPISODES), 1)
    assert [row["config_hash"] for row in rows] == ["together"] * 3 + ["first"] * 3
    labels = np.repeat(np.arange(3), 3)
    for row in rows[:3]:
        alone_each = [alone(worker, one, row["episode"]) for one in apart]
        logits = np.stack([outcome.logits.double().numpy() for outcome in alone_each])
        likely = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        right = likely.mean(0).argmax(-1) == labels
        assert row["class_hits"] == right.reshape(3, 3).sum(1).tolist()
        assert row["prompt_precision"] is None


def test_scores_are_kept_where_they_are_wanted_and_change_nothing_else(worker, run):
    """Labels, predictions, probabilities and log losses follow; outsiders come after the queries."""
    wanted = run.model_copy(update={"episodes": run.episodes.model_copy(update={"scores": True})})
    both = with_hyper_parameters(wanted, {}).model_copy(update={"ensemble": ({"lr": 1e-3}, {"alpha": 0.0})})
    for kept, plain in ((wanted, run), (both, both.model_copy(update={"episodes": run.episodes}))):
        (row,) = worker.solve(WorkOrder("kept", {"kept": kept}, (3,)), 1)
        (other,) = worker.solve(WorkOrder("plain", {"plain": plain}, (3,)), 1)
        assert other["scores"] is None
        ignored = ("config_hash", "scores", *CIRCUMSTANCES)
        for name in set(row) - set(ignored):
            expected = other[name]
            assert row[name] == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)
        scores = scores_of(row["scores"], 3)
        assert scores.shape == (3 * 3 + 3, 3)
        right = scores[:9].argmax(1) == np.arange(3).repeat(3)
        assert right.reshape(3, 3).sum(1).tolist() == row["class_hits"]
    (row,) = worker.solve(WorkOrder("kept", {"kept": wanted}, (3,)), 1)
    assert worker.ledger.read(["kept"])["scores"].to_pylist() == [row["scores"]]
    expected = alone(worker, run, 3).logits.double().log_softmax(-1).numpy()
    np.testing.assert_allclose(log_softmax(scores_of(row["scores"], 3)[:9], 1), expected, atol=5e-3)


def test_scores_of_what_failed_are_not_kept(worker, run):
    wanted = run.model_copy(update={"episodes": run.episodes.model_copy(update={"scores": True})})
    (row,) = worker.solve(WorkOrder("order", {"a": with_hyper_parameters(wanted, {"lr": 1e38})}, (0,)), 1)
    assert (row["failed"], row["scores"]) == (True, None)
