#!/usr/bin/env bash
# Gets what connectors in JavaScript are built by, where it is not there, and what a folder's own package-lock.json names:
# node-modules.sh FOLDER.
# The packages stay in target/npm, for tests that begin projects of their own without a network.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$repo/tools/wasi.sh"
cache=$repo/target/npm
for folder in "$repo/plugins/sdk-js" "$1"; do
    if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json || ! -d $cache ]]; then
        (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error --cache "$cache" >&2)
    fi
done
