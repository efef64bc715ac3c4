#!/usr/bin/env bash
# Builds this connector: build.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
sdk=$repo/plugins/sdk-js
output=${1:-$repo/target/guests/js_hello.wasm}
sources=("$here"/*.js "$here"/*.json "$here/build.sh" "$sdk"/*.js* "$sdk/src" "$repo/wit")

if [[ -f $output && -z $(find "${sources[@]}" -newer "$output") ]]; then
    exit
fi

"$repo/tools/node-modules.sh" "$here"
node "$sdk/build.js" "$here" --output "$output" >/dev/null
