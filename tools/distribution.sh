#!/usr/bin/env bash
# Says where the current registry of the CNCF's distribution is, of generation 3: on the PATH, in our cache, or built with
# Go once, which takes some minutes. What Go downloads for it does not stay. `distribution.sh find` builds nothing.
set -euo pipefail

version=v3.1.2
package=github.com/distribution/distribution/v3/cmd/registry
for found in "$(command -v registry || true)" "${XDG_CACHE_HOME:-$HOME/.cache}/sheaf/tools/registry"; do
    if [[ -x $found && $("$found" --version 2>/dev/null) == *"/v3 "* ]]; then
        echo "$found"
        exit
    fi
done
if [[ ${1:-} == find ]] || ! command -v go >/dev/null; then
    echo "there is no registry of distribution v3 ($package@$version): install it on the PATH, or Go, with which ./test builds it" >&2
    exit 1
fi
building=$(mktemp -d)
trap 'rm -rf "$building"' EXIT
mkdir -p "${found%/*}"
GOBIN=$building/bin GOMODCACHE=$building/modules GOCACHE=$building/cache GOFLAGS=-modcacherw \
    go install "$package@$version" >&2
# Whole, or not at all.
mv "$building/bin/registry" "$found.$$"
mv "$found.$$" "$found"
echo "$found"
