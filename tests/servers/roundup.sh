#!/usr/bin/env bash
# A real Roundup issue tracker with 150 issues, for the tests of a connector: from PyPI, SQLite, its own server.
#
#   tests/servers/roundup.sh FOLDER PORT
#
# Everything of the tracker is in FOLDER; what is there already is served again. Roundup itself is installed once,
# in ROUNDUP_VENV (target/roundup-venv). It prints `ready URL` and stays until it is killed. Exit code 3: packages
# are missing, and only root may install them. roundup-change.sh changes a few issues, also while this runs.
# ROUNDUP_CALLS is how many calls a user may make to the REST API in a minute (6000).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/servers/serve.sh
. "$here/serve.sh"

umask 022
mkdir -p "${1:?FOLDER}"
folder=$(cd "$1" && pwd)
port=${2:?PORT}
log=$folder/server.log
url=http://127.0.0.1:$port/demo
touch "$log"
trap 'tail -n 20 "$log" >&2' ERR

# The system's Python, because another one may lie where an unprivileged user cannot read.
python=/usr/bin/python3
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null || ! have curl setpriv flock; then
    need "$log" python3 python3-venv curl util-linux
fi

# Roundup refuses to be served by root.
as_user=()
if [ "$(id -u)" -eq 0 ]; then
    as_user=(env HOME="$folder" setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
    chown nobody "$folder" "$log"
    if ! "${as_user[@]}" test -w "$folder"; then
        echo "$folder lies where the user nobody cannot come; name a FOLDER in one that all may enter" >&2
        exit 1
    fi
fi

venv=${ROUNDUP_VENV:-$here/../../target/roundup-venv}
mkdir -p "$venv"
venv=$(cd "$venv" && pwd)
if ! "${as_user[@]}" test -x "$venv"; then
    venv=$folder/venv
    mkdir -p "$venv"
fi
install() {
    # Tests that start together install it once.
    exec 9>"$venv.lock"
    flock 9
    if ! [ -e "$venv/installed" ]; then
        "$python" -m venv --clear "$venv" &&
            "$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check roundup==2.6.0 &&
            touch "$venv/installed"
    fi
}
if ! [ -e "$venv/installed" ] && ! (install) >>"$log" 2>&1; then
    echo "SKIPPED: could not install roundup with pip, see $log" >&2
    exit 3
fi

# From standard input, so that it is read by who may read it.
issues() {
    (cd "$folder" && "${as_user[@]}" "$venv/bin/python" - "$@") <"$here/roundup-issues.py" >>"$log" 2>&1
}
tracker=$folder/tracker
if ! [ -e "$folder/filled" ]; then
    rm -rf "$tracker"
    issues fill "$tracker" "$url/" "${ROUNDUP_CALLS:-6000}"
    echo "$venv" >"$folder/filled"
else
    # The port differs from run to run.
    issues settings "$tracker" "$url/" "${ROUNDUP_CALLS:-6000}"
fi

serve "$port" "$url" "$url/rest/data/issue?@page_size=1" "$log" \
    "${as_user[@]}" "$venv/bin/roundup-server" -n 127.0.0.1 -p "$port" "demo=$tracker"
