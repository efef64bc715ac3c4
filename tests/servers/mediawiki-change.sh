#!/usr/bin/env bash
# Changes the wiki of mediawiki.sh: edits four pages, makes two, deletes one, renames one; one user
# leaves a group, and one joins it. Dated now.
#
#   tests/servers/mediawiki-change.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "${1:?FOLDER}" && pwd)

export MW_CONFIG_FILE=$folder/LocalSettings.php
log=$folder/server.log
trap 'tail -n 20 "$log" >&2' ERR
php -d opcache.enable_cli=1 -d memory_limit=512M "$here/mediawiki-pages.php" change >>"$log" 2>&1
