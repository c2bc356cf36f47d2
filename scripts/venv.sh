#!/usr/bin/env bash
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# scripts/venv.sh DIRECTORY LINK
#
# Makes the Python environment of requirements-dev.txt in DIRECTORY, unless a complete one is there, and points LINK at it.
# DIRECTORY is named after the requirements' content, so that checkouts with the same requirements share one environment
# and a changed requirement makes a new one. Two runs at once wait for each other; a run that was killed is made good by the next.
# PYTHON names the interpreter; without it the first of python3, python3.13, 3.12, 3.11 that is 3.11 or newer.
set -euo pipefail

directory=$1
link=$2
here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$here")

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    cat >&2 <<EOF
expected: Python 3.11 or newer as ${PYTHON:-python3, python3.13, python3.12 or python3.11}
seen: $(python3 --version 2>&1 || true)
try: apt-get install python3 python3-venv, or make PYTHON=/path/to/python3.12
EOF
    return 1
}

build() {
    local python=$1 attempt
    rm -rf "$directory"
    if ! "$python" -m venv "$directory"; then
        cat >&2 <<EOF
expected: $python -m venv makes an environment
seen: it does not (its words are above)
try: apt-get install python3-venv
EOF
        return 1
    fi
    # A registry may be slow or drop a connection: what was fetched stays in pip's cache, so trying again costs little.
    for attempt in 1 2 3; do
        if "$here/progress.sh" "Installing the Python requirements (attempt ${attempt} of 3)" \
            "$directory/bin/python" -m pip install --progress-bar off --disable-pip-version-check \
            -r "$project/requirements-dev.txt"; then
            touch "$directory/.complete"
            return 0
        fi
        sleep $((attempt * 5))
    done
    echo "try: python3 -m pip config list shows which package index pip uses" >&2
    return 1
}

if [ ! -e "$directory/.complete" ]; then
    mkdir -p "$(dirname "$directory")"
    exec 9>"$(dirname "$directory")/.$(basename "$directory").lock"
    flock 9
    if [ ! -e "$directory/.complete" ]; then
        build "$(find_python)"
    fi
    exec 9>&-
fi

if [ "$(readlink "$link" 2>/dev/null || true)" != "$directory" ]; then
    ln -sfn "$directory" "$link"
fi
