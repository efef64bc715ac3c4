#!/usr/bin/env bash
# Builds this connector: build.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
wit=$repo/wit/0.1.0
output=${1:-$repo/target/guests/python_hello.wasm}
sources=("$here"/*.py "$here/build.sh" "$wit")

if [[ -f $output && -z $(find "${sources[@]}" -newer "$output") ]]; then
    exit
fi

venv=$repo/target/python-venv
version=0.25.1
if [[ $("$venv/bin/componentize-py" --version 2>/dev/null) != "componentize-py $version" ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "componentize-py==$version"
fi

mkdir -p "$(dirname "$output")"
"$venv/bin/componentize-py" --quiet --wit-path "$wit" --world document-and-identity-connector \
    componentize app --python-path "$here" --output "$output.partial"
mv "$output.partial" "$output"
