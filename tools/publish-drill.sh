#!/usr/bin/env bash
# Others read what Sheaf publishes, and Sheaf reads what others publish: cosign, oras, skopeo and wkg against a real
# registry, and how long a file of 20 MB takes beside oras. Builds cosign, oras and wkg the first time: some minutes.
#
#   tools/publish-drill.sh
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo"

tools=${XDG_CACHE_HOME:-$HOME/.cache}/sheaf/tools
install() { [[ -x $tools/$1 ]] || GOBIN=$tools go install "$2"; }
install cosign github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
install oras oras.land/oras/cmd/oras@v1.3.6
if [[ ! -x $tools/wkg ]]; then
    building=$(mktemp -d)
    cargo install --quiet --locked --root "$building" --target-dir "$building/target" wkg@0.16.1
    mv "$building/bin/wkg" "$tools/wkg"
    rm -rf "$building"
fi
for needed in docker-registry skopeo openssl python3; do
    command -v "$needed" >/dev/null || { echo "$needed is not there: install it" >&2; exit 1; }
done
target=${CARGO_TARGET_DIR:-$PWD/target}
sheaf=${SHEAF:-$target/release/sheaf}
[[ -x $sheaf ]] || cargo build --quiet --release --locked -p sheaf-host
tools/guests.sh
wasm=$target/wasm32-wasip2/release/sheaf_files.wasm

drill=$(mktemp -d)
registry=
trap 'kill "$registry" 2>/dev/null || true; rm -rf "$drill"' EXIT
cat >"$drill/registry.yml" <<YAML
version: 0.1
storage: { filesystem: { rootdirectory: $drill/data } }
http: { addr: 127.0.0.1:7721 }
log: { level: error }
YAML
docker-registry serve "$drill/registry.yml" >"$drill/registry.log" 2>&1 &
registry=$!
until (exec 3<>/dev/tcp/127.0.0.1/7721) 2>/dev/null; do kill -0 "$registry"; sleep 0.1; done
cd "$drill"
at=127.0.0.1:7721/drill
export COSIGN_PASSWORD=

echo "cosign verifies what Sheaf signed"
openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt -out ours.key
openssl ec -in ours.key -pubout -out ours.pub 2>/dev/null
"$sheaf" publish "$wasm" "oci://$at/files" --sign ours.key
"$tools/cosign" verify --key ours.pub --insecure-ignore-tlog=true --allow-http-registry "$at/files:0.1.0" >/dev/null

echo "Sheaf trusts what cosign signed"
"$sheaf" keys new theirs
"$tools/cosign" import-key-pair --key theirs.key --output-key-prefix theirs-cosign -y
"$sheaf" publish "$wasm" "oci://$at/theirs" >/dev/null
digest=$("$sheaf" publish "$wasm" "oci://$at/theirs" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["result"]["manifest"])')
"$tools/cosign" sign --key theirs-cosign.key --use-signing-config=false --tlog-upload=false --allow-http-registry -y \
    "$at/theirs@$digest"
printf '[connectors.trust]\n"oci://%s/*" = ["ours.pub", "theirs.pub"]\n' "$at" >sheaf.toml
"$sheaf" add "oci://$at/theirs" --json | python3 -c 'import json,sys; assert json.load(sys.stdin)["result"][0]["signer"]'

echo "oras and skopeo fetch the same bytes"
mkdir pulled copied
"$tools/oras" pull --plain-http "$at/files:0.1.0" --output pulled
cmp pulled/files.wasm "$wasm"
skopeo copy --quiet --src-tls-verify=false "docker://$at/files:0.1.0" dir:copied
cmp "copied/$(sha256sum "$wasm" | cut -d' ' -f1)" "$wasm"

echo "wkg reads the contract as a package of WIT"
"$sheaf" publish-contract "oci://$at/sheaf/connector" --sign ours.key
cat >registries.toml <<TOML
[namespace_registries]
sheaf = { registry = "127.0.0.1:7721", metadata = { preferredProtocol = "oci", oci = { registry = "127.0.0.1:7721", namespacePrefix = "drill/" } } }
[registry."127.0.0.1:7721".oci]
protocol = "http"
TOML
"$tools/wkg" get --config registries.toml --cache wkg-cache sheaf:connector@0.1.0 --output ./contract.wasm
cmp contract.wasm "$repo/wit/encoded/connector-0.1.0.wasm"
mkdir -p own/wit
printf 'package team:wiki;\nworld wiki { include sheaf:connector/document-connector@0.1.0; }\n' >own/wit/world.wit
(cd own && "$tools/wkg" fetch --config ../registries.toml --cache ../wkg-cache)
grep --quiet --recursive "package sheaf:connector@0.1.0" own/wit/deps

echo "20 MB, in pairs (seconds: sheaf, oras)"
python3 - "$wasm" <<'PYTHON'
import os, sys
def leb(number):
    out = b""
    while True:
        byte, number = number & 0x7F, number >> 7
        out += bytes([byte | (0x80 if number else 0)])
        if not number:
            return out
wasm = open(sys.argv[1], "rb").read()
for one in range(5):
    # A section that nothing reads, of bytes that do not compress.
    content = leb(3) + b"pad" + os.urandom(20_000_000 - len(wasm))
    open(f"big-{one}.wasm", "wb").write(wasm + b"\0" + leb(len(content)) + content)
PYTHON
shopt -s inherit_errexit
seconds() { local from=$EPOCHREALTIME; "$@" >/dev/null; python3 -c "print(f'{$EPOCHREALTIME - $from:.2f}')"; }
for one in 0 1 2 3 4; do
    # It is loaded once: what is measured is the transfer.
    "$sheaf" inspect "big-$one.wasm" >/dev/null
    ours=$(seconds "$sheaf" publish "big-$one.wasm" "oci://$at/sheaf-$one")
    theirs=$(seconds "$tools/oras" push --plain-http "$at/oras-$one:1" "big-$one.wasm:application/wasm")
    echo "push  $ours $theirs"
    mkdir "site-$one" "out-$one"
    printf '' >"site-$one/sheaf.toml"
    ours=$(cd "site-$one" && seconds "$sheaf" add "oci://$at/sheaf-$one")
    theirs=$(seconds "$tools/oras" pull --plain-http "$at/oras-$one:1" --output "out-$one")
    echo "pull  $ours $theirs"
done
