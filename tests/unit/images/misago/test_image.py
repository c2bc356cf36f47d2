# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the image's files promise to each other."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_requirement_is_pinned_and_hashed(image_directory: Path) -> None:
    text = re.sub(r"#.*", "", (image_directory / "requirements.txt").read_text()).replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert len(lines) > 40
    for pin, *hashes in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin), pin
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes), pin


def test_bytecode_does_not_depend_on_file_times(image_directory: Path) -> None:
    """Builds set every file's time to the same moment: bytecode bound to times would be compiled again at each start."""
    assert "--invalidation-mode unchecked-hash" in (image_directory / "Containerfile").read_text()
