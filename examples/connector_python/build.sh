#!/usr/bin/env bash
# Builds this connector: build.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
sdk=$repo/plugins/sdk-python
output=${1:-$repo/target/guests/python_hello.wasm}
sources=("$here"/*.py "$here/pyproject.toml" "$here/build.sh" "$sdk/sheaf_sdk" "$sdk/pyproject.toml" "$repo/wit")

if [[ -f $output && -z $(find "${sources[@]}" -name __pycache__ -prune -o -newer "$output" -print) ]]; then
    exit
fi

venv=$("$repo/tools/python-venv.sh")
PYTHONPATH=$sdk "$venv/bin/python" -m sheaf_sdk.build "$here" --output "$output" >/dev/null
