#!/usr/bin/env bash
# Publishes the connectors of this repository, signed, and the contract as a package of WIT, which `wkg` finds as
# sheaf:connector below that place.
#
#   tools/publish-all.sh oci://REGISTRY/PATH KEY      (KEY as `sheaf publish --sign` takes it)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

to=${1:?where to: oci://registry.example.com/sheaf}
key=${2:?the key that signs them}
target=${CARGO_TARGET_DIR:-$PWD/target}
sheaf=${SHEAF:-$target/release/sheaf}
[[ -x $sheaf ]] || cargo build --quiet --release --locked -p sheaf-host
tools/guests.sh
plugins/feed/build.sh
plugins/sitemap/build.sh
rust=$target/wasm32-wasip2/release
for connector in files:"$rust/sheaf_files.wasm" rest:"$rust/sheaf_rest.wasm" \
    feed:"$target/guests/feed.wasm" sitemap:"$target/guests/sitemap.wasm"; do
    "$sheaf" publish "${connector#*:}" "$to/${connector%%:*}" --sign "$key" --license Apache-2.0
done
"$sheaf" publish-contract "$to/sheaf/connector" --sign "$key"
