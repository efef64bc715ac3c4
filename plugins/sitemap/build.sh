#!/usr/bin/env bash
# Builds this connector: build.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
wit=$repo/target/wit/http
output=${1:-$repo/target/guests/sitemap.wasm}
sources=("$here"/*.js "$here"/build.* "$here/package-lock.json" "$repo/wit")

if [[ -f $output && -z $(find "${sources[@]}" -newer "$output") ]]; then
    exit
fi

if [[ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]]; then
    (cd "$here" && npm ci --no-audit --no-fund --loglevel=error)
fi

"$repo/wit/http/assemble.sh" "$wit"
mkdir -p "$(dirname "$output")"
node "$here/build.mjs" "$wit" "$output.partial"
mv "$output.partial" "$output"
