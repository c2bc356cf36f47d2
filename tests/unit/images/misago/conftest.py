# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's own package, importable as it is in the image. Neither Django nor Misago is needed here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

IMAGE = Path(__file__).resolve().parents[4] / "images" / "misago"
sys.path.insert(0, str(IMAGE))
# A module of the same name that another test has loaded: it keeps what it took from it.
if not hasattr(sys.modules.get("forum"), "__path__"):
    sys.modules.pop("forum", None)


@pytest.fixture
def image_directory() -> Path:
    return IMAGE
