#!/usr/bin/env bash
# The drill of many scopes: a real Temporal server and three workers, one of them killed in the
# middle. Tells how large the history and its payloads are, and what a scope costs.
#
#   tools/scopes-drill.sh [SCOPES]      (10,000, if none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SHEAF_DRILL_SCOPES=${1:-10000}
cargo build --workspace --release --locked --bins
export SHEAF_DRILL_BINARY=$PWD/target/release/sheaf
cargo test --workspace --locked --test it scopes::many_scopes -- --nocapture
