#!/usr/bin/env bash
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# scripts/progress.sh LABEL COMMAND [ARGUMENT...]
#
# Runs a quiet, long command: says every 20 seconds that it is still at work, keeps its output in a file, and shows the
# end of that output only when the command fails. Ends with the command's own status.
set -euo pipefail

label=$1
shift
log=$(mktemp "${TMPDIR:-/tmp}/stackgate-progress.XXXXXX")
began=$SECONDS

"$@" >"$log" 2>&1 </dev/null &
command_pid=$!
# Ctrl-C reaches the whole process group; a TERM to us alone is handed on.
trap 'kill "$command_pid" 2>/dev/null || true; rm -f "$log"; exit 130' INT TERM

echo "${label} ..."
next=20
while kill -0 "$command_pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - began >= next)); then
        printf '%s: %d s, last line: %s\n' "$label" "$((SECONDS - began))" "$(tail -n 1 "$log" | cut -c 1-120)"
        next=$((next + 20))
    fi
done

status=0
wait "$command_pid" || status=$?
if ((status)); then
    tail -n 40 "$log" >&2
    printf '%s: failed with status %d after %d s; all of its output: %s\n' "$label" "$status" "$((SECONDS - began))" "$log" >&2
else
    printf '%s: done in %d s\n' "$label" "$((SECONDS - began))"
    rm -f "$log"
fi
exit "$status"
