#!/usr/bin/env bash
# The drill of very many documents: a real Temporal server, one worker, two full crawls into a folder and two through a
# bucket that is 30 ms away. Tells how long each tenth takes, and how much memory the worker has.
#
#   tools/scale-drill.sh [DOCUMENTS]    (10,000,000, if none is named; each has SHEAF_DRILL_BYTES, or 500)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SHEAF_DRILL_DOCUMENTS=${1:-10000000}
cargo build --workspace --release --locked --bins
export SHEAF_DRILL_BINARY=$PWD/target/release/sheaf
cargo test --workspace --locked --test it scale:: -- --nocapture --test-threads 1
