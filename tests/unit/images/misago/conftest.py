# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's own package, importable as it is in the image. Neither Django nor Misago is needed here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

IMAGE = Path(__file__).resolve().parents[4] / "images" / "misago"
sys.path.insert(0, str(IMAGE))
# A module of the same name that another test has loaded: it keeps what it took from it.
if not hasattr(sys.modules.get("forum"), "__path__"):
    sys.modules.pop("forum", None)


@pytest.fixture
def image_directory() -> Path:
    return IMAGE


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a module with this content in the place of one that is not here, until the test ends."""

    def put(name: str, **content: Any) -> None:
        words = name.split(".")
        for number in range(1, len(words)):
            parent = ".".join(words[:number])
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        if words[1:]:
            monkeypatch.setattr(sys.modules[".".join(words[:-1])], words[-1], module, raising=False)

    return put


@pytest.fixture
def imported() -> Iterator[Callable[[str], Any]]:
    """Import a module of the image anew, for this test alone."""
    names: list[str] = []

    def load(name: str) -> Any:
        names.append(name)
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def failover(stand_in: Callable[..., None], imported: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """forum.failover on a stand-in for Django. What it adds to redis-py is for every client of the process: to a copy, for this test."""
    parsers = pytest.importorskip("redis._parsers")
    monkeypatch.setattr(parsers.BaseParser, "EXCEPTION_CLASSES", dict(parsers.BaseParser.EXCEPTION_CLASSES))
    stand_in("django.core.cache.backends.redis", RedisCache=object, RedisCacheClient=object)
    return imported("forum.failover")
