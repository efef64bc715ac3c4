#!/usr/bin/env bash
# Microsoft's emulator of Azure Blob Storage over HTTP, for the tests of a store.
#
#   tests/servers/azurite.sh FOLDER PORT
#
# What it keeps, its log and the key of its account `sheaf` are in FOLDER. Azurite itself is installed once, in
# AZURITE_HOME (target/azurite). It prints `ready URL` and stays until it is killed. Exit code 3: packages are missing, and
# only root may install them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/servers/serve.sh
. "$here/serve.sh"

mkdir -p "${1:?FOLDER}"
folder=$(cd "$1" && pwd)
port=${2:?PORT}
log=$folder/server.log
touch "$log"
trap 'tail -n 20 "$log" >&2' ERR

if ! have curl setpriv flock node npm; then
    need "$log" curl util-linux nodejs npm
fi
home=${AZURITE_HOME:-$here/../../target/azurite}
mkdir -p "$home"
home=$(cd "$home" && pwd)
lock=$here/../azurite/package-lock.json
install() {
    # Tests that start together install it once.
    exec 9>"$home.lock"
    flock 9
    if ! cmp --quiet "$lock" "$home/installed.json"; then
        cp "$lock" "$here/../azurite/package.json" "$home" &&
            (cd "$home" && npm ci --no-audit --no-fund --loglevel=error) &&
            cp "$lock" "$home/installed.json"
    fi
}
if ! cmp --quiet "$lock" "$home/installed.json" && ! (install) >>"$log" 2>&1; then
    echo "SKIPPED: could not install azurite with npm, see $log" >&2
    exit 3
fi
head --bytes 32 /dev/urandom | base64 >"$folder/key"
AZURITE_ACCOUNTS=sheaf:$(cat "$folder/key")
export AZURITE_ACCOUNTS
url=http://127.0.0.1:$port/sheaf
echo "$url" >"$folder/url"
# Whoever asks without a signature is refused, and so answered.
serve "$port" "$url" "any:$url" "$log" "$home/node_modules/.bin/azurite-blob" --blobHost 127.0.0.1 \
    --blobPort "$port" --location "$folder/blobs" --disableTelemetry --skipApiVersionCheck --silent
