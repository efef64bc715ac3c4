#!/usr/bin/env bash
# Puts WASI's interfaces into wit/wasi, for connectors in Python and JavaScript. They are not kept here: they come out
# of the crate that the host itself is built with, from where cargo unpacked it.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
to=$repo/wit/wasi
if [[ -d $to && $to -nt $repo/Cargo.lock ]]; then exit; fi

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
mkdir -p "$to"
for interface in "$crate"/wit/deps/*.wit; do
    cmp --silent "$interface" "$to/${interface##*/}" || cp "$interface" "$to"
done
touch "$to"
