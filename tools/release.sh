#!/usr/bin/env bash
# Makes a release for this machine: the binary with its completions and pages of the manual as an archive, the
# connectors, what the binary is made of (CycloneDX), and SHA256SUMS over all of it. The same commit gives the same
# files, but for the connectors in Python and JavaScript: what makes those starts an interpreter and keeps its memory,
# with names of temporary folders and random numbers in it.
#
#   tools/release.sh [OUT]             builds everything; a quarter of an hour (OUT: target/releases/VERSION-TARGET)
#   tools/release.sh --quick [OUT]     takes what development built: to try this script, and for nothing else
#
# A release is of what is committed. Without git, as from an archive of the sources, SHEAF_COMMIT and
# SOURCE_DATE_EPOCH say which commit that is, and when it was made.
set -euo pipefail

quick=
if [[ ${1:-} == --quick ]]; then quick=yes && shift; fi
out=${1:-}
if [[ $out && $out != /* ]]; then out=$PWD/$out; fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-$PWD/target}
export LC_ALL=C TZ=UTC CARGO_INCREMENTAL=0
umask 022

fail() { echo "tools/release.sh: $*" >&2 && exit 1; }

# What stands in the archive would be other things on each machine that makes it.
tar=tar
if command -v gtar >/dev/null; then tar=gtar; fi
"$tar" --version | grep -q GNU || fail "this needs GNU tar"
sums=(sha256sum)
command -v sha256sum >/dev/null || sums=(shasum -a 256)

in_git=
# A checkout around an unpacked archive knows nothing of it.
if git ls-files --error-unmatch tools/release.sh >/dev/null 2>&1; then in_git=yes; fi
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
    [[ $in_git ]] || fail "without git, say in SOURCE_DATE_EPOCH when the commit was made"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
fi
export SOURCE_DATE_EPOCH

build() {
    if [[ $in_git ]]; then
        [[ -z $(git status --porcelain) ]] || fail "a release is of what is committed: see git status"
        SHEAF_COMMIT=$(git rev-parse HEAD)
    fi
    [[ -n ${SHEAF_COMMIT:-} ]] || fail "without git, say in SHEAF_COMMIT what is built"
    export SHEAF_COMMIT
    # A folder of its own: with other flags, all that development built would be built again. No path of this machine
    # gets into what is published.
    local into=$target/release-build flags
    printf -v flags -- '--remap-path-prefix=%s\x1f--remap-path-prefix=%s\x1f--remap-path-prefix=%s' \
        "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$PWD=/sheaf" "$into=/build"
    compile() { CARGO_TARGET_DIR=$into CARGO_ENCODED_RUSTFLAGS=$flags "$cargo" build --locked "$@"; }
    compile --profile dist -p sheaf-host --bin sheaf
    compile --release --target wasm32-wasip2 -p sheaf-files -p sheaf-rest
    rust=$into/wasm32-wasip2/release
    sheaf=$into/dist/sheaf
    guests=$into/guests
    rm -rf "$guests"
    mkdir -p "$guests"
    plugins/feed/build.sh "$guests/feed.wasm"
    plugins/sitemap/build.sh "$guests/sitemap.wasm"
}

if [[ $quick ]]; then
    sheaf=${SHEAF:-$target/debug/sheaf} rust=$target/wasm32-wasip2/release guests=$target/guests
else
    build
fi
connectors=("files:$rust/sheaf_files.wasm" "rest:$rust/sheaf_rest.wasm"
    "feed:$guests/feed.wasm" "sitemap:$guests/sitemap.wasm")
for file in "$sheaf" "${connectors[@]#*:}"; do
    [[ -f $file ]] || fail "$file is not there; ./test builds it"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$sheaf" version --json >"$work/version.json"
of() { python3 -c 'import json, sys; print(json.load(sys.stdin)["result"][sys.argv[1]])' "$1" <"$work/version.json"; }
[[ $quick || $(of commit) == "$SHEAF_COMMIT" ]] || fail "the binary says that it is of $(of commit)"
name=sheaf-$(of version)-$(of target)
out=${out:-$target/releases/${name#sheaf-}}
mkdir -p "$out"
[[ -z $(ls -A "$out") ]] || fail "$out is not empty: name another folder"

stage=$work/$name
mkdir -p "$stage/completions" "$stage/man/man1"
install -m 755 "$sheaf" "$stage/sheaf"
install -m 644 README.md LICENSE CHANGELOG.md "$stage"
"$sheaf" completions bash >"$stage/completions/sheaf.bash"
"$sheaf" completions zsh >"$stage/completions/_sheaf"
"$sheaf" completions fish >"$stage/completions/sheaf.fish"
"$sheaf" completions elvish >"$stage/completions/sheaf.elv"
"$sheaf" completions powershell >"$stage/completions/_sheaf.ps1"
"$sheaf" manual "$stage/man/man1" >/dev/null

# What development built is large, and nobody keeps it.
level=-9
if [[ $quick ]]; then level=-1; fi
"$tar" --create --directory "$work" --format ustar --sort name --mtime "@$SOURCE_DATE_EPOCH" \
    --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX "$name" | gzip -n "$level" >"$out/$name.tar.gz"
tools/sbom.py <"$work/version.json" >"$out/$name.cdx.json"
for connector in "${connectors[@]}"; do
    install -m 644 "${connector#*:}" "$out/${connector%%:*}.wasm"
done
(cd "$out" && "${sums[@]}" -- *.tar.gz *.cdx.json *.wasm >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" SHA256SUMS)
echo "$out"
