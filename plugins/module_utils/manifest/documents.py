# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From text or data to a list of Kubernetes objects, with errors that name the place."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError

try:
    import yaml
except ImportError:  # pragma: no cover - ansible-core itself needs PyYAML
    yaml = None

# How many lines of rendered text are shown around an error.
CONTEXT = 2


@dataclass
class Document:
    """One object as it was written.

    body:  the object.
    place: where it stands, for messages ("web.yml.j2, rendered line 12").
    """

    body: dict[str, Any]
    place: str

    @property
    def title(self) -> str:
        """Kind/name, as far as known."""
        meta = self.body.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        return f"{self.body.get('kind') or 'object without kind'}/{name or '(no name)'}"


@functools.cache
def _loader() -> Any:
    """A safe YAML loader that reads as Kubernetes does: no dates, and a key given twice is an error."""

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """See _loader."""

        yaml_implicit_resolvers: ClassVar = {
            first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """As ever, but refuse a key that stands twice."""
            seen: set[str] = set()
            for key, _value in node.value:
                if key.value == "<<":  # merging may repeat keys
                    continue
                if isinstance(key.value, str) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        "in this mapping", node.start_mark, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    return Loader


def parse(text: str, source: str) -> list[Document]:
    """The objects of a YAML text of one or many documents; empty documents and `kind: List` are taken apart.

    source: what the text is called in messages.
    Raises StackgateError with the line (counted in the rendered text) when the text is not YAML.
    """
    found: list[Document] = []
    loader = _loader()(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            data = loader.construct_document(node)
            found.extend(_objects(data, f"{source}, rendered line {node.start_mark.line + 1}"))
    except yaml.YAMLError as error:
        raise _yaml_error(error, text, source) from None
    finally:
        loader.dispose()
    return found


def from_data(data: Any, source: str) -> list[Document]:
    """The objects of a `definition`: text, one object, or a list of either."""
    if isinstance(data, str):
        return parse(str(data), source)
    items = data if isinstance(data, (list, tuple)) else [data]
    found: list[Document] = []
    for number, item in enumerate(items, 1):
        where = f"{source}, item {number}" if len(items) > 1 else source
        found.extend(parse(str(item), where) if isinstance(item, str) else _objects(plain(item), where))
    return found


def plain(value: Any) -> Any:
    """The same data in Python's own types; ansible's carry where they came from, which JSON cannot."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _objects(data: Any, place: str) -> Iterable[Document]:
    """Zero, one or (for a List) many documents."""
    if data is None:
        return []
    if not isinstance(data, dict):
        raise StackgateError(
            f"{place} is a Kubernetes object, a mapping with apiVersion, kind and metadata",
            f"a {type(data).__name__}",
            "check the indentation and the lines that separate documents (---)",
        )
    if str(data.get("kind", "")).endswith("List") and isinstance(data.get("items"), list):
        return [document for item in data["items"] for document in _objects(item, place)]
    return [Document(data, place)]


def _yaml_error(error: Any, text: str, source: str) -> StackgateError:
    """A parser's complaint with the lines it is about."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return StackgateError(f"{source} is YAML", str(problem))
    lines = text.splitlines()
    secret = any(line.strip() in ("kind: Secret", 'kind: "Secret"', "kind: 'Secret'") for line in lines)
    first = max(0, mark.line - CONTEXT)
    shown = [
        f"{'>' if number == mark.line else ' '} {number + 1:4d} | {_without_value(lines[number]) if secret else lines[number]}"
        for number in range(first, min(len(lines), mark.line + CONTEXT + 1))
    ]
    seen = f"line {mark.line + 1}, column {mark.column + 1} of the rendered text: {problem}\n" + "\n".join(shown)
    return StackgateError(f"{source} renders to YAML", seen, "quote values that hold ': ', ' #', or begin with one of {[*&!|>%@`")


def _without_value(line: str) -> str:
    """A line of a text that holds a Secret: the key only."""
    key, colon, value = line.partition(":")
    return f"{key}: (hidden)" if colon and value.strip() else (line if colon else "(hidden)")
