#!/usr/bin/env bash
# Builds the guests in Rust that tests and checks use. All at once, and only here: with fewer of them cargo
# would choose other features for what they share, and build it twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
"${CARGO:-cargo}" build --quiet --locked --release --target wasm32-wasip2 \
    -p sheaf-files -p sheaf-rest -p guest-odd -p guest-evil -p guest-generator -p connector-rust
