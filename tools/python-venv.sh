#!/usr/bin/env bash
# Makes an environment with what connectors in Python are built by, where there is none yet, and says where it is.
# What it is made of stays in target/wheels, for tests that make environments of their own without a network.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$repo/tools/wasi.sh"
venv=$repo/target/python-venv
wheels=$repo/target/wheels
project=$repo/plugins/sdk-python/pyproject.toml
version=$(sed -n 's/^dependencies = \["componentize-py==\(.*\)"\]$/\1/p' "$project")
backend=$(sed -n 's/^requires = \["\(flit_core.*\)"\]$/\1/p' "$project")
if [[ $("$venv/bin/componentize-py" --version 2>/dev/null) != "componentize-py $version" || $project -nt $wheels ]]; then
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" download --quiet --dest "$wheels" "componentize-py==$version" "$backend" >&2
    "$venv/bin/pip" install --quiet --no-index --find-links "$wheels" "componentize-py==$version" >&2
    touch "$wheels"
fi
echo "$venv"
