#!/usr/bin/env bash
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the collection's archive, installs it where nothing else of it can be found, and tries it there: its playbook by its
# full name, its documentation, and that nothing got in which belongs to the checkout only.
set -euo pipefail

project=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/stackgate-build.XXXXXX")
trap 'rm -rf "$work"' EXIT

cd "$project"
ansible-galaxy collection build --force --output-path "$work" . >/dev/null
archive=$(echo "$work"/stackgate-k3s-*.tar.gz)

unwanted=$(tar --list --file "$archive" | grep -E '^(\./)?(collections|inventories|molecule|tests|benchmarks|scripts|\.[^/]|Makefile|pyproject\.toml|site\.yml|ansible\.cfg)' || true)
if [ -n "$unwanted" ]; then
    printf 'expected: the archive holds the collection only\nseen: %s\ntry: add them to build_ignore in galaxy.yml\n' "$(head -n 5 <<<"$unwanted")" >&2
    exit 1
fi

# A directory of its own, and a configuration that does not know the checkout.
printf '[defaults]\ncollections_path = %s/collections\n' "$work" >"$work/ansible.cfg"
export ANSIBLE_CONFIG=$work/ansible.cfg
cd "$work"
ansible-galaxy collection install --no-deps --collections-path "$work/collections" "$archive" >/dev/null
seen=$(ansible-galaxy collection list stackgate.k3s 2>/dev/null | grep -c '^stackgate.k3s ' || true)
if [ "$seen" != 1 ]; then
    printf 'expected: one stackgate.k3s on the collection path\nseen: %s\n' "$seen" >&2
    exit 1
fi
cp -r "$project/inventories" "$work/inventories"
ansible-playbook stackgate.k3s.site --inventory inventories/k3s --syntax-check
ansible-doc --type module stackgate.k3s.gate >/dev/null

mv "$archive" "$project/"
echo "built $(basename "$archive"): $(tar --list --file "$project/$(basename "$archive")" | wc -l) files, installed and tried from an empty directory"
