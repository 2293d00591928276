"""Compiled steps against the same steps as written. Programs run as they were traced, but in slow tests."""

import subprocess
import sys

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import InvalidCxxCompiler

from fpt import compiling
from fpt.problems.solving import solve
from fpt.solvers import Training, solver_named
from fpt.switches import turned
from tests.fpt.test_on_gpu import backbone_of, episodes_of, setting_of

STACKS = (((1, 0), (2, 1), (3, 2), (5, 3)), ((2, 1), (6, 3), (1, 2), (7, 0)))  # of conftest's settings and episodes
QUICK = (("lora", "mini-batches"), ("full", "whole sets"), ("linear_probe", "mini-batches"))
A_PROBE = """
import torch
from fpt.backbones.loading import load_backbone
from fpt.bench import Shape, frozen_episodes, random_pixels
from fpt.problems.problem import Setting
from fpt.problems.solving import solve
from fpt.solvers import Training
from fpt.switches import turned

backbone, shape = load_backbone("vit_micro_glyphs", weights=True), Shape(3, 1, 2)
setting = Setting("linear_probe", Training(way=3, blocks=2, epochs=4, batch=0))
episodes = frozen_episodes(backbone, shape, *random_pixels(backbone, shape, 2), setting)
(written,) = solve(backbone, episodes, [setting], 2)
with turned(["compiled steps"]):
    (found,) = solve(backbone, episodes, [setting], 2)
for one, other in zip(written, found, strict=True):
    torch.testing.assert_close(other.logits, one.logits, rtol=1e-4, atol=1e-4)
print("as written")
"""


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    compiling._programs.clear()


@pytest.fixture
def programs(monkeypatch):
    """The programs that are made, which run as they were traced."""
    made = []

    def instead(program, **options):
        made.append(program)
        return program

    monkeypatch.setattr(torch, "compile", instead)
    return made


CASES = [
    pytest.param(solver, values, id=f"{solver} {kind}", marks=[] if (solver, kind) in QUICK else pytest.mark.slow)
    for solver in ("lora", "ssf", "vpt", "full", "linear_probe")
    for kind, values in (("whole sets", {}), ("mini-batches", {"batch": 4}))
]


@pytest.mark.parametrize(("solver", "values"), CASES)
def test_one_program_does_for_all_stacks_of_a_shape_what_steps_do(solver, values, backbone, stack_for, programs):
    training = Training(way=3, blocks=2, epochs=3, layers=1, **values)
    stacks = [stack_for(solver, training, members) for members in STACKS]
    written = [solver_named(solver)(backbone, stack, training) for stack in stacks]
    with turned(["compiled steps"]):
        found = [solver_named(solver)(backbone, stack, training) for stack in stacks]
    for one, other in zip(written, found, strict=True):
        assert torch.equal(other.scores, one.scores)
        assert torch.equal(other.query_attention, one.query_attention)
    assert len(programs) == (2 if values else 1)  # of six images, mini-batches of four and two


def test_a_pyramid_has_targets_that_no_step_reads(programs):
    backbone, setting = backbone_of("pyramid", "cpu", torch.float32), setting_of("lora", epochs=3)
    episodes = episodes_of(backbone, setting)
    (written,) = solve(backbone, episodes, [setting], 2)
    with turned(["compiled steps"]):
        (found,) = solve(backbone, episodes, [setting], 2)
    assert len(programs) == 1
    assert all(torch.equal(one.logits, other.logits) for one, other in zip(written, found, strict=True))


@pytest.mark.slow
def test_stacks_of_other_sizes_and_settings_have_programs_of_their_own(backbone, stack_for, programs):
    training = Training(way=3, blocks=2, epochs=2, layers=1)
    with turned(["compiled steps"]):
        for members, own in ((STACKS[0], training), (STACKS[0][:2], training), (STACKS[0], Training(3, 2, 2, rank=2))):
            solver_named("lora")(backbone, stack_for("lora", own, members), own)
    assert len(programs) == 3


def probed(**environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", A_PROBE], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_what_is_compiled_gives_what_is_written(tmp_path):
    done = probed(PATH="/usr/bin:/bin", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert done.stdout == "as written\n", done.stderr


WITHOUT = "compute.compile must be false here, where torch cannot compile: InvalidCxxCompiler: No working C++"


@pytest.mark.slow
def test_without_a_compiler_it_is_said_what_to_do(tmp_path):
    done = probed(PATH="/nowhere", CXX="/nowhere/c++", TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    assert done.stderr.splitlines()[-1].startswith(f"ValueError: {WITHOUT}")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (BackendCompilerFailed("inductor", InvalidCxxCompiler(), None), WITHOUT),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "CUDA out of memory"),
    ],
    ids=["no compiler", "no memory"],
)
def test_what_a_program_raises_is_told(raised, told, backbone, stack_for, monkeypatch):
    def fails(_):
        raise raised

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    training = Training(way=3, blocks=2, epochs=2)
    with turned(["compiled steps"]), pytest.raises((ValueError, torch.OutOfMemoryError), match=f"^{told}"):
        solver_named("linear_probe")(backbone, stack_for("linear_probe", training, STACKS[0][:3]), training)
