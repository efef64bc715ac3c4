#!/usr/bin/env bash
# A real S3 server over HTTP, for the tests of a store: moto from PyPI, which keeps everything in memory.
#
#   tests/servers/moto.sh FOLDER PORT
#
# Its log is in FOLDER. moto itself is installed once, in MOTO_VENV (target/moto-venv). It prints `ready URL` and stays
# until it is killed. Exit code 3: packages are missing, and only root may install them.
#
# Of a conditional put moto sees first whether the name is taken and writes then, with no lock around both: of eight
# that race, one has always won so far, and nothing in its code says that it must be so. The proxy of the tests
# (tests/src/bucket.rs) lets one of each name through at a time.
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

if ! python3 -c 'import ensurepip, venv' 2>/dev/null || ! have curl setpriv flock; then
    need "$log" python3 python3-venv curl util-linux
fi
venv=${MOTO_VENV:-$here/../../target/moto-venv}
mkdir -p "$venv"
venv=$(cd "$venv" && pwd)
install() {
    # Tests that start together install it once.
    exec 9>"$venv.lock"
    flock 9
    # Flask is what `moto[server]` would bring beside much for other services than S3.
    if ! [ -e "$venv/installed" ]; then
        python3 -m venv --clear "$venv" &&
            "$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check \
                'moto[s3]==5.2.5' 'flask==3.1.3' 'flask-cors==6.0.5' &&
            touch "$venv/installed"
    fi
}
if ! [ -e "$venv/installed" ] && ! (install) >>"$log" 2>&1; then
    echo "SKIPPED: could not install moto with pip, see $log" >&2
    exit 3
fi
url=http://127.0.0.1:$port
serve "$port" "$url" "$url/moto-api/" "$log" "$venv/bin/moto_server" -H 127.0.0.1 -p "$port"
