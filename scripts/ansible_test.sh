#!/usr/bin/env bash
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# scripts/ansible_test.sh sanity|units [ARGUMENT...]
#
# Runs ansible-test on a copy of the checkout as it is now, uncommitted files included. A copy, because ansible-test wants to
# see .../ansible_collections/stackgate/k3s as its real working directory, and the link in collections/ is not that.
#
# Its home is a directory in the cache: it keeps its virtual environments there, and finds there the package index that this
# machine's pip is configured with (ansible-test hands no PIP_* variable on). The bootstrap script that it would download from
# a host of its own is replaced by one that asks the package index.
set -euo pipefail

command=$1
shift
project=$(cd "$(dirname "$0")/.." && pwd)
venv=$(readlink -f "$project/.venv")
cache=${STACKGATE_CACHE:-$HOME/.cache/stackgate}
home=$cache/ansible-test

export PATH=$venv/bin:$PATH
umask 022
mkdir -p "$home/.ansible/test/cache" "$home/.config/pip"

(
    umask 077
    "$venv/bin/python" -m pip config list | "$venv/bin/python" "$project/scripts/pip_config.py" >"$home/.config/pip/pip.conf"
)

"$venv/bin/python" "$project/scripts/get_pip_stub.py" "$home/.ansible/test/cache"

work=$(mktemp -d "${TMPDIR:-/tmp}/stackgate-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
copy=$work/ansible_collections/stackgate/k3s
mkdir -p "$copy"
cd "$project"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
else
    find . -path ./.venv -prune -o -path ./.ansible -prune -o -path ./tests/output -prune -o ! -type d -print0
fi | while IFS= read -r -d '' file; do
    # A file that was deleted and not committed yet is still listed.
    if [ -e "$file" ] || [ -L "$file" ]; then printf '%s\0' "$file"; fi
done | tar --create --null --no-recursion --files-from - | tar --extract --directory "$copy"

# In a Git checkout ansible-test sees what Git would, links to directories included; without one it walks the tree.
git -C "$copy" init --quiet && git -C "$copy" add --all
# What the collection depends on, where its neighbours are looked for: beside it. It comes with the package `ansible`.
bundle=$("$venv/bin/python" -c 'import importlib.util as u; print(next(iter(u.find_spec("ansible_collections").submodule_search_locations)))')
mkdir -p "$work/ansible_collections/kubernetes"
ln -s "$bundle/kubernetes/core" "$work/ansible_collections/kubernetes/core"

cd "$copy"
status=0
HOME=$home ansible-test "$command" "$@" || status=$?
if compgen -G "$copy/tests/output/junit/*.xml" >/dev/null; then
    mkdir -p "$project/tests/output/junit"
    cp "$copy"/tests/output/junit/*.xml "$project/tests/output/junit/"
fi
exit "$status"
