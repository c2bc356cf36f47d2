# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation names every kind and every field, in the words of the code. STACKGATE_WRITE_DOCS=1 writes the tables anew."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.stackgate.k3s.plugins.module_utils.gates import _content, _protocol, journey, redis, s3

PAGE = Path(__file__).parents[5] / "docs" / "gates.md"
PARTS: dict[str, type] = {
    **{kind: _protocol.kind_class(kind) for kind in _protocol.kinds()},
    "step": journey.Step,
    "expect": journey.Expect,
    "file": _content.File,
    "secretkey": journey.SecretKey,
    "csrf": journey.Csrf,
    "keys": s3.Credentials,
    "login": redis.Login,
}
COMMON = ("timeout", "stable")


def shown(described: dataclasses.Field[Any]) -> str:
    """A field's default, as a person writes it."""
    if described.default is not dataclasses.MISSING:
        value = described.default
        return "unset" if value is None else "empty" if value == "" else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    return "required" if described.default_factory is dataclasses.MISSING else "empty"


def table(part: str) -> str:
    """The table of a part's fields."""
    fields = [f for f in dataclasses.fields(PARTS[part]) if f.name not in COMMON or part == "step"]
    rows = [f"| `{f.name}` | {shown(f)} | {f.metadata['doc']} |" for f in fields]
    return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize("part", PARTS)
def test_the_page_has_the_fields_of(part: str) -> None:
    marker = f"<!-- fields of {part} -->\n"
    text = PAGE.read_text(encoding="utf-8")
    assert marker in text
    if os.environ.get("STACKGATE_WRITE_DOCS"):
        text = re.sub(rf"{re.escape(marker)}\n(?:\|.*\n)*", lambda _found: f"{marker}\n{table(part)}\n", text)
        PAGE.write_text(text, encoding="utf-8")
    assert f"{marker}\n{table(part)}\n" in text


def test_the_module_s_documentation_names_every_kind_and_field() -> None:
    stub = importlib.import_module("ansible_collections.stackgate.k3s.plugins.modules.gate")
    told = " ".join(yaml.safe_load(stub.DOCUMENTATION)["options"]["conditions"]["description"])
    missing = [f"{kind}: {f.name}" for kind, cls in PARTS.items() for f in dataclasses.fields(cls) if f"C({f.name}" not in told]
    assert missing == []
    assert [kind for kind in _protocol.kinds() if f"C({kind}) with" not in told] == []


def test_the_examples_are_understood() -> None:
    stub = importlib.import_module("ansible_collections.stackgate.k3s.plugins.modules.gate")
    for task in yaml.safe_load(stub.EXAMPLES):
        assert _protocol.parse(task["stackgate.k3s.gate"]["conditions"])
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    assert _protocol.parse(yaml.safe_load(blocks[1]))
