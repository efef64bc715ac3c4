#!/usr/bin/env bash
# The upgrade drill: a worker of an earlier commit crawls, this one takes its place in the middle, and the earlier one
# takes it back. What the one has written the other reads; the crawl loses nothing, and its history replays.
#
#   tools/upgrade-drill.sh [COMMIT]      (the last release's tag, or the commit before this one)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

commit=${1:-$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || git rev-parse HEAD^)}
if [[ -z ${SHEAF_DRILL_BEFORE:-} ]]; then
    folder=$PWD/target/upgrade-drill
    rm -rf "$folder/source"
    git worktree prune
    git worktree add --quiet --force --detach "$folder/source" "$commit"
    trap 'git worktree remove --force "$folder/source"' EXIT
    (cd "$folder/source" && CARGO_TARGET_DIR=$folder/target cargo build --locked -p sheaf-host)
    export SHEAF_DRILL_BEFORE=$folder/target/debug/sheaf
fi
"$SHEAF_DRILL_BEFORE" --version
cargo test --workspace --locked --test it -- versions::the_state_and_the_running_crawl --nocapture
