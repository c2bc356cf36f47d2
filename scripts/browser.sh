#!/usr/bin/env bash
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs Chromium and its driver from the distribution's packages, unless both are there.
set -euo pipefail

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    cat >&2 <<EOF
expected: chromium and chromedriver on the PATH
seen: chromium: $(command -v chromium || echo none), chromedriver: $(command -v chromedriver || echo none)
try: install both from your distribution (this target does it only as root, with apt-get)
EOF
    exit 1
fi
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive
"$here/progress.sh" "Reading the package lists" apt-get update
"$here/progress.sh" "Installing Chromium" apt-get install --yes --no-install-recommends chromium chromium-driver
