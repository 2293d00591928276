"""What runs on this machine is asked directly, whatever proxy leads out of it."""

import os

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
HERE = ("localhost", "127.0.0.1", "::1")


def ask_this_machine_directly() -> None:
    """Has no library of this process, or of what it starts, ask servers of this machine through a proxy."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    named = ",".join(os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    known = [one.strip() for one in named.split(",") if one.strip()]
    for name in ("no_proxy", "NO_PROXY"):  # libraries differ in which of them they read
        os.environ[name] = ",".join(dict.fromkeys([*known, *HERE]))
