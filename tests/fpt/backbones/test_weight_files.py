"""Files of weights: which are read, and which are refused without running what is in them."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fpt.backbones.weights import read_weights
from tests.fpt.backbones.test_weights import LAYOUTS, build, saved


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin", "w.ckpt", "w.pth.tar", "W.PTH", "weights", "w.npz"])
def test_every_kind_of_file_is_read_whatever_it_is_called(name, safe, tmp_path):
    state, path = build().state_dict(), tmp_path / name
    save_file(state, path) if safe else torch.save(state, path)
    read = read_weights(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], value) for name, value in state.items())


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_files_from_before_numpy_2_and_torch_1_6_are_read(core, tmp_path):
    content = LAYOUTS["DINO"](build().state_dict())
    path = saved(tmp_path, content, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    assert b"cnumpy._core.multiarray\nscalar" in raw
    path.write_bytes(raw.replace(b"cnumpy._core", b"c" + core))
    assert torch.equal(read_weights(path)["cls_token"], content["teacher"]["backbone.cls_token"])


class Intruder:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (os.mkdir, r"posix\.mkdir"),
        (eval, "eval"),
        (open, rf"{open.__module__}\.open"),  # io, and _io from Python 3.13 on
        (nn.Linear, r"torch\.nn.*"),
    ],
)
def test_a_file_that_needs_code_is_refused_and_runs_none(call, name, zipped, tmp_path):
    trace = tmp_path / "trace"
    arguments = {os.mkdir: [str(trace)], eval: [f"open({str(trace)!r}, 'w')"], open: [str(trace), "w"]}
    content = build().state_dict() | {"intruder": Intruder(call, *arguments.get(call, [2, 2]))}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf"^weights must be plain tensors but {path} needs {name} to run: .*[^\n]$"):
        read_weights(path)
    assert not trace.exists()


def test_what_stands_beside_the_weights_runs_nothing(tmp_path):
    """A name that is let through is a stand-in: its arguments go nowhere, whatever they are."""

    class Odd(Namespace):
        def __reduce__(self):
            return Namespace, (1, 2, 3), {"weight": torch.ones(1)}

    path = saved(tmp_path, {"args": Odd(), "weight": torch.zeros(1)})
    before = set(torch.serialization.get_safe_globals())
    assert read_weights(path).keys() == {"weight"}
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "truncated, old format", "text", "page", "empty"])
def test_a_damaged_file_is_refused_in_one_sentence(damage, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(build().state_dict(), path)
    else:
        torch.save(build().state_dict(), path, _use_new_zipfile_serialization="old" not in damage)
    whole = path.read_bytes()
    path.write_bytes(
        {"text": b"hello\n", "page": b"<!DOCTYPE html>", "empty": b""}.get(damage, whole[: -len(whole) // 3])
    )
    seems = {"page": ": it is a web page; fetch the file itself", "empty": ": it is empty"}.get(damage, "")
    said = rf"^weights must be a whole file of safetensors or PyTorch but {path} cannot be read{seems}$"
    with pytest.raises(ValueError, match=said):
        read_weights(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.pth", "must be an existing file but got .*absent.pth"),
        ("folder.pth", "must be an existing file but got .*folder.pth, which is a folder"),
        ("snapshot", "must be an existing file but got .*snapshot, .* name the file in it, like .*/model.safetensors"),
        ("~/no-such-weights.pth", "must be an existing file but got /.*/no-such-weights.pth"),
    ],
)
def test_what_is_no_file_of_weights_is_named(name, reason, tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").touch()
    with pytest.raises(ValueError, match=f"^weights {reason}$"):
        read_weights(Path(name) if name.startswith("~") else tmp_path / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"model": {"a": 1}}, [torch.ones(1)], torch.ones(1)])
def test_a_file_without_weights_is_named(content, tmp_path):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=f"^weights must be tensors by name but {path} holds none"):
        read_weights(path)


def test_names_that_prefixes_alone_tell_apart_are_refused(tmp_path):
    path = saved(tmp_path, {"backbone.norm.bias": torch.ones(1), "norm.bias": torch.zeros(1)})
    with pytest.raises(ValueError, match=f"^weights must have one name each but in {path} some differ only in module"):
        read_weights(path)
