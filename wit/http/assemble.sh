#!/usr/bin/env bash
# Puts together the WIT of a connector that speaks HTTP: assemble.sh OUTPUT
#
# OUTPUT becomes a folder with the world, Sheaf's contract and WASI's interfaces. Those are not kept
# here: they come out of the crate that the host itself is built with, from where cargo unpacked it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
output=${1:?"usage: assemble.sh OUTPUT"}

# Asks only for what this machine's build of the host needs: that came with the first build.
metadata() (
    cd "$repo"
    machine=$(rustc -vV | sed -n 's/^host: //p')
    cargo metadata --quiet --format-version 1 --locked --filter-platform "$machine" "$@"
)

crate=$({ metadata --offline 2>/dev/null || metadata; } | python3 -c '
import json, sys
from pathlib import Path

for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "wasmtime-wasi-http":
        print(Path(package["manifest_path"]).parent)
')

mkdir -p "$output/deps"
cp "$here/world.wit" "$output"
cp "$repo/wit/0.1.0/connector.wit" "$crate"/wit/deps/*.wit "$output/deps"
