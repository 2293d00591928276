"""Where in a file the weights are, and what a file seems to be that has none."""

import io
import zipfile

import numpy as np
import pytest
import torch

from fpt.backbones.checkpoints.unpacking import unpack, weights_in

ONE, TWO = {"weight": torch.ones(1)}, {"weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("held", "path"),
    [
        (ONE, ()),
        ({"state_dict": ONE, "optimizer": TWO}, ("state_dict",)),
        ({"model": {"state_dict": ONE}, "epoch": 3}, ("model", "state_dict")),
        ({"student": TWO, "teacher": ONE}, ("teacher",)),
        ({"encoder": TWO, "target_encoder": ONE, "opt": TWO}, ("target_encoder",)),
        ({"mine": ONE, "optimizer": {"state": {0: TWO}}, "dino_loss": TWO}, ("mine",)),
        ({"model": {}, "mine": ONE}, ("mine",)),
    ],
)
def test_weights_are_found_where_they_are(held, path):
    found, where = weights_in(held)
    assert (found["weight"].item(), where) == (1, path)


@pytest.mark.parametrize(
    "held", [{}, [ONE], {"one": ONE, "other": TWO}, {"optimizer": ONE}, {"model": {0: torch.ones(1)}}]
)
def test_what_could_be_anything_is_left_alone(held):
    assert weights_in(held)[0] == {}


def npz():
    stream = io.BytesIO()
    np.savez(stream, weight=np.ones(3))
    return stream.getvalue()


def script():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/code/__torch__.py", b"")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"", "it is empty"),
        (b"\n <!DOCTYPE html><html>", "it is a web page; fetch the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it only points at a file of Git LFS"),
        (npz(), "it is NumPy's npz; save its arrays"),
        (script(), "it is TorchScript; save the state_dict"),
    ],
)
def test_what_a_file_seems_to_be_is_told(content, seems, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match=f"^weights must be a whole file .* cannot be read: {seems}"):
        unpack(tmp_path / "weights.pth")
