#!/usr/bin/env bash
# Everything below deploy/ by its own validator: alert rules and their tests (promtool), the dashboard, compose.yaml, the
# chart with several sets of values (helm, kubectl-validate), the systemd unit, and the Containerfile's names.
#
#   tools/check-deploy.sh          what is not on the PATH is looked for in our cache, and built there with Go or unpacked
#                                  from a Debian package once: some ten minutes
#
# No container is started and no cluster is asked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sheaf/tools
mkdir -p "$cache"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
say() { printf '\n== %s\n' "$*"; }
fail() { echo "tools/check-deploy.sh: $*" >&2 && exit 1; }

# ---- Tools ----

# A program of a Go module: in our cache under its version, or built. What Go downloads for it does not stay.
built() {
    local name=$1 package=$2 version=$3 found=$cache/$1-$3
    if [[ ! -x $found ]]; then
        command -v go >/dev/null || fail "there is no $name ($package@$version): install Go, with which this builds it"
        echo "building $name $version, once" >&2
        GOBIN=$work/go/bin GOMODCACHE=$work/go/modules GOCACHE=$work/go/cache GOFLAGS='-modcacherw -p=1' \
            nice go install "$package@$version" >&2
        # Whole, or not at all.
        mv "$work/go/bin/${package##*/}" "$found.$$"
        mv "$found.$$" "$found"
    fi
    echo "$found"
}

# Debian's package would start a server, so that only the program is taken out of it.
unpacked() {
    local found=$cache/promtool
    if command -v promtool >/dev/null; then
        found=$(command -v promtool)
    elif [[ ! -x $found ]]; then
        command -v apt-get >/dev/null || fail "there is no promtool: install Prometheus"
        if [[ $(id -u) == 0 ]]; then apt-get update -qq >&2; fi
        (mkdir "$work/debian" && cd "$work/debian" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2 && dpkg-deb -x ./*.deb .) \
            || fail "there is no promtool, and Debian's package prometheus could not be had: install it"
        mv "$work/debian/usr/bin/promtool" "$found.$$"
        mv "$found.$$" "$found"
    fi
    echo "$found"
}

promtool=$(unpacked)
helm=$(built helm helm.sh/helm/v4/cmd/helm v4.3.1)
validate=$(built kubectl-validate sigs.k8s.io/kubectl-validate v0.0.4)
compose=$(built compose github.com/compose-spec/compose-go/v2/cmd v2.16.2)
command -v python3 >/dev/null || fail "this needs Python 3"

# ---- What is watched ----

say "alert rules"
"$promtool" check config deploy/prometheus/prometheus.yml
"$promtool" test rules deploy/prometheus/alerts_test.yml

say "the dashboard, the metrics' names, and the runbook"
tools/check-metrics.py --rules "$work/dashboard.yml"
"$promtool" check rules "$work/dashboard.yml"

# ---- The image, and all of it on one machine ----

say "Containerfile"
rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
grep -qx "ARG RUST=$rust" Containerfile || fail "Containerfile: its RUST is not that of rust-toolchain.toml, $rust"
for member in $(sed -n 's/^members = \[\(.*\)\]/\1/p' Cargo.toml | tr -d '",') wit; do
    grep -qx "!${member%%/*}" .dockerignore || fail ".dockerignore: ${member%%/*} is left out, and cargo needs it"
done
echo "it names Rust $rust, and all members of the workspace go into the build; it is not built here"

say "compose.yaml"
# The validator has no environment for its variables: each secret's name stands in for it, and stands in .env.example.
secrets=$(grep -o '\${[A-Z_]*:?' deploy/compose.yaml | tr -d '${:?' | sort -u)
[[ $secrets == "$(sed -n 's/^\([A-Z_]*\)=$/\1/p' deploy/.env.example | sort -u)" ]] \
    || fail "deploy/.env.example has other names than compose.yaml asks for, or a value"
sed -E 's/\$\{([A-Z_]+):\?[^}]*\}/\1/g' deploy/compose.yaml >"$work/compose.yaml"
(cd deploy && "$compose" -format json "$work/compose.yaml") >"$work/compose.json"
python3 - "$work/compose.json" <<'PYTHON'
import json, os, sys

services = json.load(open(sys.argv[1]))["services"]
wrong = []
for name, service in services.items():
    def must(holds, what):
        if not holds:
            wrong.append(f"compose.yaml, {name}: {what}")
    must(service.get("cap_drop") == ["ALL"], "it keeps capabilities")
    must(service.get("security_opt") == ["no-new-privileges:true"], "it may get new privileges")
    must(service.get("read_only") or name == "temporal-ui", "its root can be written to")
    must(":" in service["image"], "its image has no version")
    for port in service.get("ports", []):
        must(port.get("host_ip") == "127.0.0.1", f"the port {port['published']} is open to the network")
    for mount in service.get("volumes", []):
        # Docker would make a folder of what is not there.
        must(mount["type"] != "bind" or os.path.exists(mount["source"]), f"{mount['source']} is not there")
    ends = service["restart"].startswith("on-failure")
    # It answers to no program of the image; who needs it waits.
    must(ends or "healthcheck" in service or name == "local-glean", "it has no health check")
    for other in service.get("depends_on", {}):
        must(other in services, f"it depends on {other}, which is not there")
print("\n".join(wrong) or f"{len(services)} services")
sys.exit(bool(wrong))
PYTHON

# ---- Kubernetes ----

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
chart=deploy/helm/sheaf
[[ $(sed -n 's/^\(appV\|v\)ersion: "*\([^"]*\)"*$/\2/p' "$chart/Chart.yaml" | uniq) == "$version" ]] \
    || fail "$chart/Chart.yaml: its versions are not the workspace's, $version"
# What it says of links, which are meant, is left out.
helm() { "$helm" "$@" 2> >(grep -v 'found symbolic link in path' >&2); }

for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    say "the chart with $name values"
    helm lint --strict "$chart" --values "$values"
    helm template test "$chart" --values "$values" >"$work/$name.yaml"
    # One file an object; those of Prometheus's operator have no schema here, and their rules are looked at below.
    mkdir "$work/$name"
    awk -v into="$work/$name/" '/^---$/ { number++ } { print > (into number ".yaml") }' "$work/$name.yaml"
    for object in "$work/$name"/*.yaml; do
        if grep -q '^apiVersion: monitoring.coreos.com/' "$object"; then rm "$object"; fi
    done
    for kubernetes in 1.25 1.30; do
        "$validate" --version "$kubernetes" "$work/$name" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
        echo "Kubernetes $kubernetes: $(grep -c OK "$work/said") objects are valid"
    done
    # sheaf.toml as the pods see it.
    python3 - "$work/$name.yaml" <<'PYTHON'
import re, sys, textwrap
try:
    import tomllib
except ImportError:
    sys.exit(print("sheaf.toml: SKIPPED, this Python is older than 3.11"))
text = re.search(r"^  sheaf\.toml: \|\n((?:    .*\n|\n)+)", open(sys.argv[1]).read(), flags=re.MULTILINE)[1]
file = tomllib.loads(textwrap.dedent(text))
assert {"state_folder", "state_store", "worker", "observe"} <= file.keys(), file.keys()
print(f"sheaf.toml: {', '.join(file)}")
PYTHON
done

say "the chart's rules for Prometheus"
helm template test "$chart" --values "$chart/ci/all-values.yaml" --show-only templates/prometheusrule.yaml \
    | sed -e '1,/^spec:$/d' -e 's/^  //' >"$work/rules.yml"
"$promtool" check rules "$work/rules.yml"

say "what the chart refuses"
refused() {
    if helm template test "$chart" --values "$chart/ci/least-values.yaml" "$@" >"$work/said" 2>&1; then
        fail "the chart takes $*"
    fi
    echo "$*"
}
refused --set stateStore=
refused --set stateStore=/var/lib/sheaf
refused --set stateStore='s3://key:secret@bucket'
refused --set image.repository=
refused --set replica=3
refused --set replicas=two
refused --set observe.prot=9464
refused --set observe.port=80
refused --set observe.tokenKey=status-token
refused --set networkPolicy.egres=none
refused --set-string config='[observe]'
refused --set-string config='[worker]'
refused --set-string config='state_store = "x"'

# ---- A machine of its own ----

say "the systemd unit"
if command -v systemd-analyze >/dev/null; then
    mkdir "$work/unit"
    # It need not be installed here.
    sed "s#/usr/local/bin/sheaf#$(command -v true)#" deploy/systemd/sheaf-worker.service >"$work/unit/sheaf-worker.service"
    systemd-analyze verify --man=no "$work/unit/sheaf-worker.service" 2>&1 | tee "$work/said"
    [[ ! -s $work/said ]] || fail "systemd-analyze has something to say"
    # Of 10, in tenths: what is left open beside what a network service needs.
    systemd-analyze security --offline=yes --threshold=20 "$work/unit/sheaf-worker.service" >"$work/said" \
        || { cat "$work/said"; fail "the unit leaves more open than before"; }
    tail -n 1 "$work/said"
else
    echo "SKIPPED: there is no systemd-analyze here"
fi

say "all of deploy/ is in order"
