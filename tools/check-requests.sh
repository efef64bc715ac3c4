#!/usr/bin/env bash
# Records what the host sends in full and incremental crawls, and checks it: check-requests.sh OPENAPI
set -euo pipefail
openapi=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}

# With the features that the tests are built with: nothing is built twice.
cargo build --quiet --locked --workspace --bin sheaf
tools/guests.sh
venv=$target/python-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet jsonschema==4.26.0 pyyaml==6.0.3 glean-api-client==0.17.18

work=$(mktemp -d)
trap 'kill "$glean" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/connectors" "$work/docs/people"
cp "$target/wasm32-wasip2/release/sheaf_files.wasm" "$target/wasm32-wasip2/release/guest_odd.wasm" "$work/connectors"
printf '# A\n\ntext' > "$work/docs/a.md"
printf '<title>B</title>' > "$work/docs/people/b.html"
printf '%%PDF-1.4' > "$work/docs/c.pdf"
cat > "$work/docs/people.toml" <<TOML
[[users]]
email = "ann@example.com"
name = "Ann"

[[users]]
email = "bob@example.com"
id = "bob"
active = false

[groups]
hr = ["ann@example.com"]
"Site Owners" = ["group:hr", "bob"]
TOML
sheaf=$(realpath "$target/debug/sheaf")

# Its first lines say where it listens.
exec 3< <(exec "$sheaf" local-glean --address 127.0.0.1:0 --record "$work/requests" 2>&1)
glean=$!
until [[ ${line:-} =~ http://[0-9.:]+ ]]; do read -r line <&3; done
url=${BASH_REMATCH[0]}
cat <&3 >"$work/log" &
cat > "$work/sheaf.toml" <<TOML
[glean]
server_url = "$url"

[connections.docs]
connector = "files"
datasource = "docs"
settings = { root = "/content", base_url = "https://docs.example.com", scope_per_folder = true, access = "everyone", people = "people.toml", access_rules = [{ glob = "people/**", access = { users = ["ann@example.com"], groups = ["hr"] } }] }
grants = { folders = { "/content" = "docs" } }

[connections.odd]
connector = "odd"
datasource = "odd"
settings = { pages = 5, misdeed = "everything", after = 0 }
TOML
for crawl in "docs" "docs --incremental" "odd" "odd --incremental"; do
    # shellcheck disable=SC2086
    "$sheaf" --config "$work/sheaf.toml" sync --local $crawl
done
# A deletion that waits, and is approved.
rm "$work/docs/c.pdf"
"$sheaf" --config "$work/sheaf.toml" sync --local docs || [[ $? -eq 5 ]]
held=$("$sheaf" --config "$work/sheaf.toml" approve docs --dry-run --json)
upload=$("$venv/bin/python" -c 'import json, sys; print(json.loads(sys.argv[1])["result"]["upload_id"])' "$held")
"$sheaf" --config "$work/sheaf.toml" approve docs --upload "$upload"
"$sheaf" --config "$work/sheaf.toml" explain docs a.md
"$sheaf" --config "$work/sheaf.toml" access docs people/b.html --as bob
"$sheaf" --config "$work/sheaf.toml" access odd odd-1 --as ann@example.com
# Users and groups that go, and are approved.
printf '[groups]\nhr = ["ann@example.com"]\n' > "$work/docs/people.toml"
"$sheaf" --config "$work/sheaf.toml" sync --local docs --identities || [[ $? -eq 5 ]]
held=$("$sheaf" --config "$work/sheaf.toml" approve docs --identities --dry-run --json)
upload=$("$venv/bin/python" -c 'import json, sys; print(json.loads(sys.argv[1])["result"]["held"]["upload_id"])' "$held")
"$sheaf" --config "$work/sheaf.toml" approve docs --identities --upload "$upload"
kill "$glean"
wait "$glean" || true
"$venv/bin/python" tools/check-requests.py "$work/requests" --openapi "$openapi"
