"""Weights on Hugging Face's hub: here, to be had, or neither. No test asks the hub itself."""

import socket

import huggingface_hub
import pytest

from fpt.backbones import hub

NAME = "vit_small_patch16_224.dino"


@pytest.fixture
def asked(monkeypatch):
    """What was connected to; the network is away."""
    hosts = []

    def away(address, seconds):
        hosts.append(address)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", away)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return hosts


def test_a_hub_that_does_not_answer_is_said_to_be_so_with_other_ways_on(asked):
    said = (
        rf"^backbone\.weights must be a local file where {NAME}'s cannot be downloaded, which failed: huggingface\.co "
        r"does not answer \(Name or service not known\); a local file .* vit_micro_glyphs, needs no network$"
    )
    with pytest.raises(ValueError, match=said):
        hub.check_reachable(NAME)
    assert asked == [("huggingface.co", 443)]


def test_a_hub_of_one_s_own_is_asked(asked, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror:8080/hf")
    with pytest.raises(ValueError, match="mirror does not answer"):
        hub.check_reachable(NAME)
    assert asked == [("mirror", 8080)]


def test_weights_that_are_here_need_no_network(asked, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: f"/cache/{file}")
    hub.check_reachable(NAME)
    hub.check_reachable("vit_micro_glyphs")
    assert asked == []


def test_a_proxy_is_taken_to_answer(asked, monkeypatch):
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy:3128"})
    hub.check_reachable(NAME)
    assert asked == []
