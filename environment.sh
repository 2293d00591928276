#!/bin/sh
# Makes the environment, and brings it up to date; where there is nothing to do, in a moment: environment.sh FOLDER [PYTHON]
set -eu
venv=$1 asked=${2-}

# What pyproject.toml allows, in the order of choice. 3.14 is last: all its wheels are there, but no test was run on it.
versions="3.13 3.12 3.11 3.14" allowed="3.11 to 3.14"

fail() {
    echo "$1" >&2
    exit 1
}

# Version and home of an interpreter; nothing where it does not run, as commands of pyenv may not.
identity() {
    "$1" -c 'import os, sys; print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.base_prefix))' 2>/dev/null
}

fits() {
    found=$(identity "$1") || found=
    found=${found%% *}
    case " $versions " in *" ${found:-none} "*) ;; *) return 1 ;; esac
}

# The newest here, or a version that uv then brings.
choose() {
    for name in $(printf 'python%s ' $versions) python3; do
        if fits "$name"; then
            command -v "$name"
            return
        fi
    done
    echo "${versions%% *}"
}

# uv takes seconds and shares files with its cache. Any Python brings it, by way of an environment that is thrown away.
find_uv() {
    for uv in "$@"; do
        if "$uv" --version >/dev/null 2>&1; then return; fi
    done
    bootstrap=$(mktemp -d)
    trap 'rm -rf "$bootstrap"' EXIT
    for maker in "$python" python3; do
        if command -v "$maker" >/dev/null && "$maker" -m venv --clear "$bootstrap" &&
            "$bootstrap/bin/python" -m pip install --quiet --disable-pip-version-check uv; then
            uv=$bootstrap/bin/uv
            return
        fi
    done
    fail "No python3 here can install uv (above): install uv by your system's packages or its own installer, or python3-venv on Debian and Ubuntu, and do the same again."
}

if [ -n "$asked" ]; then
    fits "$asked" || fail "PYTHON must be Python $allowed, and $asked is ${found:-none that runs}."
    asked=$(command -v "$asked") # uv looks for a mere name in other places first
fi

if fits "$venv/bin/python" && { [ -z "$asked" ] || [ "$(identity "$asked")" = "$(identity "$venv/bin/python")" ]; }; then
    if [ "$venv/.ready" -nt pyproject.toml ] && [ "$venv/.ready" -nt constraints.txt ]; then exit; fi
    python=$venv/bin/python
    find_uv "$venv/bin/uv" uv
else
    python=${asked:-$(choose)}
    echo "$venv is made anew, of Python $python"
    find_uv uv
    if [ -e "$venv/pyvenv.cfg" ]; then rm -rf "$venv"; fi
    "$uv" venv --quiet --seed --python "$python" "$venv" ||
        fail "uv could make no environment of Python $python (above): where it could not bring one, install Python $allowed, or name it: make PYTHON=/path/to/python."
fi
# Bytecode is compiled now, once, and not by each of the many processes that a sweep starts.
"$uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --constraint constraints.txt uv --editable '.[dev]'
touch "$venv/.ready"
