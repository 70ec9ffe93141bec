#!/bin/sh
# Makes .venv with a Python of at least 3.11 and installs Hearth and a BLAS for MLX into it. $1: the names to try.
set -eu

new_enough() {
    "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if command -v uv >/dev/null 2>&1; then
    uv venv --quiet --allow-existing --python '>=3.11' .venv
    uv pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[dev]'
    exec .venv/bin/python -m tools.bring_openblas
fi
for name in $1; do
    if new_enough "$name"; then
        "$name" -m venv .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
        exec .venv/bin/python -m tools.bring_openblas
    fi
done
echo "Hearth needs Python 3.11 or newer with venv. On macOS: brew install python. On Debian: apt-get install python3 python3-venv." >&2
exit 1
