#!/usr/bin/env bash
# Prints which articles the wiki of mediawiki.sh lets each of its users read, by its own word: names, and ids of pages.
#
#   tests/servers/mediawiki-readers.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "${1:?FOLDER}" && pwd)

export MW_CONFIG_FILE=$folder/LocalSettings.php
php -d opcache.enable_cli=1 -d memory_limit=512M "$here/mediawiki-pages.php" readers
