#!/usr/bin/env bash
# Builds the guests in Python and JavaScript that tests use, each by its own toolchain. What projects that `sheaf new`
# begins are built by is there after that, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/python-venv.sh >/dev/null
tools/node-modules.sh plugins/sitemap
examples/connector_python/build.sh
examples/connector_js/build.sh
plugins/feed/build.sh
plugins/sitemap/build.sh
