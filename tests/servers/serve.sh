# shellcheck shell=bash
# Shared by the scripts beside it, which source it: what a server for a test must do.

have() { # have COMMANDS
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || return 1
    done
}

# What is missing is installed by root only, and where that does not work the test is skipped: exit code 3.
need() { # need LOG PACKAGES
    local log=$1
    shift
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "SKIPPED: install these Debian packages first: $*" >&2
        exit 3
    fi
    # PHP with an HTTP server that starts itself is not wanted.
    if ! {
        apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install \
            -y --no-install-recommends "$@" '?name(^libapache2-mod-php)-' '?name(^php.*-fpm$)-'
    } >>"$log" 2>&1; then
        echo "SKIPPED: could not install $*, see $log" >&2
        exit 3
    fi
}

# Starts COMMAND, prints READY when the URL PROBE answers well, or `any:URL` in whatever way, and stays until it is killed.
# COMMAND never outlives this script.
serve() { # serve PORT READY PROBE LOG COMMAND...
    local port=$1 ready=$2 probe=$3 log=$4
    shift 4
    # Otherwise another server could answer in its place.
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "port $port is taken" >&2
        exit 1
    fi
    # PHP's workers do not end with their master, so all of them share a process group with a shell that ends it.
    # The kernel tells that shell when this script is gone, even by SIGKILL.
    # shellcheck disable=SC2016
    setsid setpriv --pdeathsig TERM bash -c '
        trap "trap - TERM EXIT; kill -- -$$" TERM EXIT
        "$@" &
        wait $!' serve "$@" </dev/null >>"$log" 2>&1 &
    server=$!
    trap 'exit 143' TERM INT HUP
    trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT

    local tries=0
    local well=(--fail)
    if [[ $probe == any:* ]]; then well=() probe=${probe#any:}; fi
    until curl --silent "${well[@]}" --noproxy '*' --max-time 20 --output /dev/null "$probe"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
            echo "no answer from $probe; the end of $log:" >&2
            tail -n 20 "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
    echo "ready $ready"
    wait "$server"
}
