#!/usr/bin/env bash
# Changes the tracker of roundup.sh: four issues, two new ones, one retired; one user
# leaves the staff, and one joins it. Dated now.
#
#   tests/servers/roundup-change.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "${1:?FOLDER}" && pwd)

as_user=()
if [ "$(id -u)" -eq 0 ]; then
    as_user=(env HOME="$folder" setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
fi
log=$folder/server.log
trap 'tail -n 20 "$log" >&2' ERR
cd "$folder"
"${as_user[@]}" "$(<filled)/bin/python" - change "$folder/tracker" <"$here/roundup-issues.py" >>"$log" 2>&1
