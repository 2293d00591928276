import os
import urllib.request

import pytest
from requests.utils import should_bypass_proxies

from sweeps.terminal.proxies import ask_this_machine_directly


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for one in (name, name.upper()):
            monkeypatch.setenv(one, "")
            monkeypatch.delenv(one)


def test_without_a_proxy_nothing_is_set():
    ask_this_machine_directly()
    assert "no_proxy" not in os.environ


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_this_machine_is_asked_directly_and_others_by_proxy(monkeypatch, name):
    monkeypatch.setenv(name, "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    ask_this_machine_directly()
    ask_this_machine_directly()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "intern.example,localhost,127.0.0.1,::1"
    for host, bypassed in (("127.0.0.1:5000", True), ("localhost:5000", True), ("intern.example", True)):
        assert bool(urllib.request.proxy_bypass_environment(host)) == bypassed
        assert should_bypass_proxies(f"http://{host}/", None) == bypassed
    assert not should_bypass_proxies("http://example.org/", None)
