#!/usr/bin/env bash
# The kill drill over a real corpus: two workers on a real Temporal server crawl a folder, and one of
# them is killed at a random moment, thirty times. The index must end as one that was not disturbed.
#
#   tools/kill-drill.sh [FOLDER] [KILLS]      (the folder: Debian's linux-doc-6.12, if none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SHEAF_DRILL_FOLDER=${1:-/usr/share/doc/linux-doc-6.12}
export SHEAF_DRILL_KILLS=${2:-30}
export SHEAF_DRILL_DELAY_MS=${SHEAF_DRILL_DELAY_MS:-1500}
export SHEAF_DRILL_INCLUDE=${SHEAF_DRILL_INCLUDE:-'"**/*.html", "**/*.txt"'}
[[ -d $SHEAF_DRILL_FOLDER ]] || { echo "there is no folder $SHEAF_DRILL_FOLDER" >&2; exit 2; }
cargo test --workspace --locked --test it kill:: -- --nocapture
