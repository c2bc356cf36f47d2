# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From documents as written to objects ready to apply: checked, in their namespace, labelled."""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.stackgate.k3s.plugins.module_utils.errors import StackgateError
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest import applyset
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.documents import Document
from ansible_collections.stackgate.k3s.plugins.module_utils.manifest.kinds import Key, group_of

MANAGED_BY = "stackgate"
LABEL = "app.kubernetes.io"


@dataclass(frozen=True)
class Component:
    """What is applied and pruned together.

    name: the component; instance: the deployment it belongs to; part_of: the stack.
    """

    name: str
    instance: str
    namespace: str
    part_of: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels of each of its objects."""
        return {
            f"{LABEL}/instance": self.instance,
            f"{LABEL}/component": self.name,
            f"{LABEL}/managed-by": MANAGED_BY,
            f"{LABEL}/part-of": self.part_of,
        }

    @property
    def set_id(self) -> str:
        """The id of its ApplySet."""
        return applyset.set_id(applyset.parent_name(self.name), self.namespace)


@dataclass(frozen=True)
class Wanted:
    """An object ready to apply."""

    key: Key
    body: dict[str, Any]
    place: str

    @property
    def api_version(self) -> str:
        """Its apiVersion."""
        return str(self.body["apiVersion"])


def prepare(documents: Iterable[Document], component: Component, is_namespaced: Callable[[str, str], bool]) -> list[Wanted]:
    """Check and complete all documents.

    is_namespaced: tells of (apiVersion, kind) whether its objects live in a namespace; raises StackgateError for an unknown kind.
    Raises one StackgateError that names everything that is wrong with any of them.
    """
    wanted: dict[Key, Wanted] = {}
    wrong: list[tuple[Document, str, str]] = []
    for document in documents:
        complaint = _complaint(document)
        if complaint:
            wrong.append((document, complaint, ""))
            continue
        try:
            item = _complete(document, component, is_namespaced)
        except StackgateError as error:
            wrong.append((document, error.seen, error.hint))
            continue
        if item.key in wanted:
            wrong.append((document, f"stands twice, the first time in {wanted[item.key].place}", ""))
        else:
            wanted[item.key] = item
    if wrong:
        lines = [f"{document.place}: {document.title}: {seen}" + (f" ({hint})" if hint else "") for document, seen, hint in wrong]
        raise StackgateError(
            f"each object of component {component.name} is complete, of a kind that the cluster serves, and named once",
            f"{len(wrong)} wrong, nothing was changed\n  - " + "\n  - ".join(lines),
            "correct the manifest",
            details={"problems": [_as_data(*item) for item in wrong]},
        )
    return list(wanted.values())


def _as_data(document: Document, seen: str, hint: str) -> dict[str, str]:
    """A complaint for the task's result, in the form of a refusal by the server."""
    kind, _slash, name = document.title.partition("/")
    return {"kind": kind, "name": name, "field": "", "message": seen, "hint": hint, "reason": "Incomplete"}


def _complaint(document: Document) -> str:
    """What is missing from an object; empty when it is complete."""
    body = document.body
    for name in ("apiVersion", "kind"):
        if not isinstance(body.get(name), str) or not body[name]:
            return f"{name} is missing"
    meta = body.get("metadata")
    if not isinstance(meta, dict):
        return "metadata is missing"
    if meta.get("generateName"):
        return "generateName makes a new object with each run: give it a name"
    if not isinstance(meta.get("name"), str) or not meta["name"]:
        return f"metadata.name is {'missing' if not meta.get('name') else 'not a text: quote it'}"
    for name in ("labels", "annotations"):
        for key, value in (meta.get(name) or {}).items():
            if not isinstance(value, str):
                return f"metadata.{name}.{key} is {value!r} ({type(value).__name__}), not a text: quote it"
    return ""


def _complete(document: Document, component: Component, is_namespaced: Callable[[str, str], bool]) -> Wanted:
    """The object with namespace and labels. Raises StackgateError for an unknown kind and for another namespace."""
    body = copy.deepcopy(document.body)
    meta = body["metadata"]
    namespace = ""
    if is_namespaced(body["apiVersion"], body["kind"]):
        namespace = str(meta.setdefault("namespace", component.namespace))
        if namespace != component.namespace:
            raise StackgateError(
                f"objects of namespace {component.namespace}",
                f"metadata.namespace is {namespace!r}, and this task applies to {component.namespace!r} only",
                "leave metadata.namespace out",
            )
    elif meta.pop("namespace", None):
        raise StackgateError("no namespace", "metadata.namespace is set, but objects of this kind belong to no namespace", "leave it out")
    meta["labels"] = {**component.labels, **(meta.get("labels") or {}), applyset.PART_OF: component.set_id}
    if body["kind"] == "Secret" and body["apiVersion"] == "v1":
        _encode_secret(body)
    return Wanted(Key(group_of(body["apiVersion"]), body["kind"], namespace, meta["name"]), body, document.place)


def _encode_secret(body: dict[str, Any]) -> None:
    """Turn stringData into data: server-side apply does not remember who owns a stringData key, so that it could never be removed.

    Raises StackgateError, without the value, for one that is no text or no base64.
    """
    texts = body.pop("stringData", None) or {}
    for part, values in (("stringData", texts), ("data", body.get("data") or {})):
        for key, value in values.items():
            if not isinstance(value, str):
                raise StackgateError("text", f"{part}.{key} is of type {type(value).__name__}, not a text: quote it")
    for key, value in (body.get("data") or {}).items():
        try:
            base64.b64decode("".join(value.splitlines()), validate=True)
        except (binascii.Error, ValueError):
            raise StackgateError("base64", f"data.{key} is not base64: use the filter b64encode, or stringData") from None
    for key, value in texts.items():
        body.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
