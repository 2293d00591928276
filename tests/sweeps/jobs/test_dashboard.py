"""Where a cluster's dashboard is, and with which token it is asked."""

import pytest

from sweeps.jobs.dashboard import ADDRESSES, connect, dashboard_address, find_token


def test_the_address_may_come_from_the_environment(monkeypatch):
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="but is missing"):
        dashboard_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:10001")
    with pytest.raises(ValueError, match="but is missing"):
        dashboard_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "http://second:8265")
    assert dashboard_address(None) == "http://second:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "https://first/ray/")
    assert dashboard_address(None) == "https://first/ray"
    assert dashboard_address("http://third") == "http://third"


def test_a_server_that_does_not_answer_is_bad_input(unreachable):
    with pytest.raises(ValueError, match="address must be a Ray dashboard that answers but"):
        connect(unreachable)


def test_the_token_is_found_where_ray_finds_it(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("third\n")
    assert find_token() == "third"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="RAY_AUTH_TOKEN_PATH must be a file"):
        find_token()
    (tmp_path / "elsewhere").write_text("second")
    assert find_token() == "second"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "first")
    assert find_token() == "first"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() is None
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "sec\nret")
    with pytest.raises(ValueError, match="one word") as refused:
        find_token()
    assert "ret" not in str(refused.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    (tmp_path / ".ray" / "auth_token").unlink()
    with pytest.raises(ValueError, match="none was found here: `ray exec"):
        find_token()
