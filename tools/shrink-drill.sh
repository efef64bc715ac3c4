#!/usr/bin/env bash
# A real shrink: the kernel's documentation of one version, then of a later one, under one connection.
# What left between them is held, named, and goes when it is approved; when it is rejected, nothing goes. What
# `sheaf plan` says before each crawl is what the crawl does.
#
#   tools/shrink-drill.sh [OLD] [NEW]      (folders; Debian's linux-doc-6.1 and -6.12 if none are named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

old=${1:-/usr/share/doc/linux-doc-6.1}
new=${2:-/usr/share/doc/linux-doc-6.12}
cargo build --quiet --release --locked -p sheaf-host
cargo build --quiet --release --locked --target wasm32-wasip2 -p sheaf-files
target=${CARGO_TARGET_DIR:-$PWD/target}
sheaf=$target/release/sheaf
drill=$(mktemp -d)
trap 'kill "$glean" 2>/dev/null || true; rm -rf "$drill"' EXIT

# The .rst files are packed one by one; the connector reads them unpacked.
unpack() {
    mkdir -p "$2"
    (cd "$1" && find . -name '*.rst.gz' -print0 | tar --null --files-from=- --create) | tar --extract --directory "$2"
    find "$2" -name '*.rst.gz' -print0 | xargs -0 gunzip
}
unpack "$old" "$drill/old"
unpack "$new" "$drill/new"
mkdir "$drill/connectors"
cp "$target/wasm32-wasip2/release/sheaf_files.wasm" "$drill/connectors/files.wasm"

"$sheaf" local-glean --address 127.0.0.1:7719 --database "$drill/glean.db" 2>"$drill/glean.log" &
glean=$!
until (exec 3<>/dev/tcp/127.0.0.1/7719) 2>/dev/null; do kill -0 "$glean"; sleep 0.1; done

configure() {
    cat >"$drill/sheaf.toml" <<TOML
[glean]
server_url = "http://127.0.0.1:7719"
requests_per_second = 1000.0

[connections.kernel]
connector = "files"
datasource = "kernel"

[connections.kernel.settings]
root = "/content"
base_url = "https://docs.example.com"
access = "everyone"
include = ["**/*.rst"]

[connections.kernel.grants]
folders = { "/content" = "$1" }
TOML
}
run() { "$sheaf" --config "$drill/sheaf.toml" "$@" 2>>"$drill/sheaf.log" || true; }
# What a plan says, and what the crawl after it did.
planned() {
    "$sheaf" --config "$drill/sheaf.toml" plan kernel --json 2>>"$drill/sheaf.log" >"$drill/plan.json" || true
    "$sheaf" --config "$drill/sheaf.toml" sync kernel --local --json 2>>"$drill/sheaf.log" >"$drill/crawl.json" || true
    python3 - "$drill/plan.json" "$drill/crawl.json" <<'PY'
import json, sys
plan, crawl = (json.load(open(name))["result"] for name in sys.argv[1:])
names = ["outcome", "documents", "added", "changed", "unchanged", "quarantined"]
said, did = [{name: one[name] for name in names} for one in (plan, crawl)]
said["deleted"], did["deleted"] = plan["deleted"], (crawl.get("held") or {}).get("would_go", crawl["deleted"])
print("plan ", said)
print("crawl", did)
sys.exit(said != did)
PY
}
# What `find` says, to compare with.
names() { (cd "$1" && find . -name '*.rst' | sed 's,^\./,,' | LC_ALL=C sort); }
names "$drill/old" >"$drill/old.txt"
names "$drill/new" >"$drill/new.txt"
gone=$(LC_ALL=C comm -23 "$drill/old.txt" "$drill/new.txt" | wc -l)
echo "find: $(wc -l <"$drill/old.txt") before, $gone gone, $(LC_ALL=C comm -13 "$drill/old.txt" "$drill/new.txt" | wc -l) new"

configure "$drill/old"
planned
configure "$drill/new"
echo "--- the later version"
planned
echo "--- rejected"
run reject kernel
run sync kernel --local | head -n 1
echo "--- approved"
held=$("$sheaf" --config "$drill/sheaf.toml" approve kernel --dry-run --json)
run approve kernel --upload "$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["result"]["upload_id"])' "$held")"
echo "--- again"
run sync kernel --local
run status
