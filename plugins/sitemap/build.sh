#!/usr/bin/env bash
# Builds this connector: build.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
wit=$repo/wit/0.1.0
output=${1:-$repo/target/guests/sitemap.wasm}
sources=("$here"/*.js "$here"/build.* "$here/package-lock.json" "$wit")

if [[ -f $output && -z $(find "${sources[@]}" -newer "$output") ]]; then
    exit
fi

if [[ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]]; then
    (cd "$here" && npm ci --no-audit --no-fund --loglevel=error)
fi

mkdir -p "$(dirname "$output")"
node "$here/build.mjs" "$wit" "$output.partial"
mv "$output.partial" "$output"
